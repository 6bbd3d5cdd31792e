/** What is mounted where in a workspace, and in which order, as lines for its holder. Reads the host's directories; changes nothing. */
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { isBelow, type Mount, SOURCE, visibleMounts } from './mounts.ts'
import type { WorkspaceWish } from './wish.ts'

export type Step = { readonly name: string; readonly line: string }

export type PlanParts = {
  readonly wish: Pick<WorkspaceWish, 'mode' | 'network' | 'changesMegabytes'>
  /** Of the holder, before anything was done. */
  readonly mounts: readonly Mount[]
  /** Directories that nobody in a workspace is to see: this agent's own. */
  readonly hidden: readonly string[]
  readonly sockets: readonly string[]
  /** The account that this agent runs as, when it is not root: within, it is root until a second namespace of users gives it its own number back. */
  readonly own: { readonly uid: number; readonly gid: number } | undefined
}

export type Plan = {
  readonly before: readonly Step[]
  /** After the layer was opened: from then on nobody finds it any more. */
  readonly after: readonly Step[]
  /** Place → type of all that may be written. */
  readonly ours: ReadonlyMap<string, string>
  /** Directories whose changes land in the layer, in the order of its own sub-directories `u/0`, `u/1`… */
  readonly covered: readonly string[]
}

/** One tmpfs holds all that is written. It stands here until the private /tmp lies on it. */
const STAGE = '/tmp'
export const LAYER = `${STAGE}/u`
/** The namespace of users in which such an agent's account has its own number. */
export const USERS = '/run/.users'
const PRIVATE = ['/tmp', '/var/tmp', '/run']
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty']
const NEVER_COVERED = ['/proc', '/sys', '/dev', '/boot', ...PRIVATE]
const MOST_COVERED = 96
const DEPTH = 3
const MOST_FILES = 200_000

export function planOf(parts: PlanParts): Plan {
  const { hidden, mounts, sockets, wish } = parts
  const visible = visibleMounts(mounts)
  const places = PRIVATE.filter((place) => isDirectory(place))
  const isGone = (path: string) => [...places, '/dev'].some((place) => path === place || isBelow(path, place))
  const covered =
    wish.mode === 'overlay' ? coveredOf('/', { visible, owner: parts.own?.uid }, DEPTH).slice(0, MOST_COVERED) : []
  const masked = sockets.filter((path) => !isGone(path))
  return {
    covered,
    ours: new Map([
      ...covered.map((place) => [place, 'overlay'] as const),
      ...places.map((place) => [place, 'tmpfs'] as const),
      ['/dev/shm', 'tmpfs'],
      ['/dev/pts', 'devpts'],
    ]),
    before: [
      step('limit of namespaces', `echo ${parts.own === undefined ? 0 : 1} >/proc/sys/user/max_user_namespaces`),
      step(
        'memory for what is written (mount tmpfs)',
        mount(
          `-t tmpfs -o nosuid,nodev,mode=0700,size=${wish.changesMegabytes}m,nr_inodes=${MOST_FILES} ${SOURCE} ${STAGE}`,
        ),
        'mkdir /tmp/u /tmp/w /tmp/dev /tmp/run /tmp/tmp /tmp/vartmp /tmp/shm /tmp/none',
        'chmod 755 /tmp/run /tmp/none && chmod 1777 /tmp/tmp /tmp/vartmp /tmp/shm && : >/tmp/nothing && chmod 0 /tmp/nothing',
      ),
      ...(parts.own === undefined ? [] : [step('its own users (unshare --user)', ...userLines(parts.own))]),
      step('devices', ...deviceLines()),
      ...covered.map((place, n) =>
        step(
          `overlay of ${place}`,
          `mkdir /tmp/u/${n} /tmp/w/${n} && ${likeness(place, `/tmp/u/${n}`, parts.own === undefined)}`,
          mount(
            `-t overlay -o nosuid,nodev,userxattr,lowerdir=${place},upperdir=/tmp/u/${n},workdir=/tmp/w/${n} ${SOURCE} ${place}`,
          ),
        ),
      ),
    ],
    after: [
      ...visible
        .filter(({ point, type }) => !isGone(point) && type !== 'autofs' && !isBelow(point, '/proc'))
        .filter(({ point }) => !covered.includes(point))
        .map(({ options, point }) => step(`read-only ${point}`, readOnly(point, options))),
      step(
        'its own /proc',
        mount(`-t proc -o nosuid,nodev,noexec ${SOURCE} /proc`),
        readOnly('/proc', ['nosuid', 'nodev', 'noexec']),
      ),
      step('names of hosts', ...resolverLines(wish)),
      // What cannot be seen by name cannot be connected to.
      ...hidden.filter((place) => !isGone(place)).map((place) => step(`hiding ${place}`, cover('/tmp/none', place))),
      ...masked.map((path) =>
        step(`hiding the socket ${path}`, `[ ! -S ${quoted(path)} ] || { ${cover('/tmp/nothing', path)}; }`),
      ),
      step('its own /run', mount('--rbind /tmp/run /run')),
      ...(places.includes('/var/tmp') ? [step('its own /var/tmp', bind('/tmp/vartmp', '/var/tmp'))] : []),
      step('its own /tmp', bind('/tmp/tmp', STAGE)),
      ...(wish.network === 'none' ? [step('loopback', '/usr/sbin/ip link set lo up 2>/dev/null || true')] : []),
    ],
  }
}

const step = (name: string, ...lines: readonly string[]): Step => ({ name, line: lines.join(' && ') || ':' })
const mount = (words: string): string => `mount -n ${words}`
const bind = (from: string, to: string): string => mount(`--bind ${quoted(from)} ${quoted(to)}`)
const cover = (from: string, to: string): string => `${bind(from, to)} && ${readOnly(to, ['noexec'])}`
const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

/** Flags that it has must stay: the kernel lets nobody in a namespace of users take one away. */
function readOnly(point: string, options: readonly string[]): string {
  const kept = options.filter((option) => /^(noexec|noatime|nodiratime|relatime|nosymfollow)$/.test(option))
  return mount(`-o remount,bind,ro,nosuid,nodev${kept.map((option) => `,${option}`).join('')} none ${quoted(point)}`)
}

function deviceLines(): readonly string[] {
  return [
    mount(`-t tmpfs -o nosuid,noexec,mode=0755,size=64k ${SOURCE} /tmp/dev`),
    'mkdir /tmp/dev/pts /tmp/dev/shm',
    ...DEVICES.filter((name) => existsSync(`/dev/${name}`)).flatMap((name) => [
      `: >/tmp/dev/${name}`,
      bind(`/dev/${name}`, `/tmp/dev/${name}`),
      mount(`-o remount,bind,ro,nosuid,noexec none /tmp/dev/${name}`),
    ]),
    mount(`-t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620 ${SOURCE} /tmp/dev/pts`),
    bind('/tmp/shm', '/tmp/dev/shm'),
    'ln -s pts/ptmx /tmp/dev/ptmx && ln -s /proc/self/fd /tmp/dev/fd',
    'for n in 0 1 2; do set -- in out err; shift $n; ln -s /proc/self/fd/$n /tmp/dev/std$1; done',
    mount('--move /tmp/dev /dev'),
    mount('-o remount,bind,ro,nosuid,nodev,noexec none /dev'),
  ]
}

/** The one namespace that may be made is made here, and outlives who made it. Its number is that of the host's /proc, which is not covered yet. */
function userLines({ gid, uid }: { readonly uid: number; readonly gid: number }): readonly string[] {
  const wait = 'cd -P /proc/self && pwd >/tmp/door && cd / && exec sleep infinity'
  return [
    `{ unshare --user --map-user=${uid} --map-group=${gid} -- /bin/sh -c '${wait}' >/dev/null 2>&1 & }`,
    'n=0; while ! [ -s /tmp/door ] && [ $n -lt 200 ]; do n=$((n+1)); sleep 0.01; done',
    ': >/tmp/run/.users',
    mount('--bind "$(cat /tmp/door)/ns/user" /tmp/run/.users'),
    readOnly('/tmp/run/.users', ['noexec']),
  ]
}

/** systemd's resolver keeps the list of name servers under /run. */
function resolverLines({ network }: Pick<WorkspaceWish, 'network'>): readonly string[] {
  try {
    const real = realpathSync('/etc/resolv.conf')
    if (network === 'none' || !isBelow(real, '/run') || readFileSync(real).length > 65_536) return []
    const copy = `/tmp${real}`
    return [`mkdir -p ${quoted(dirname(copy))}`, `cat ${quoted(real)} >${quoted(copy)}`]
  } catch {
    return []
  }
}

type Coverable = {
  readonly visible: readonly Mount[]
  /** Who must own it, because nobody else's face could be given to the layer over it. Undefined: anybody. */
  readonly owner: number | undefined
}

/** The largest directories below which nothing is mounted. What is not covered is read-only. */
function coveredOf(directory: string, by: Coverable, depth: number): readonly string[] {
  if (NEVER_COVERED.includes(directory)) return []
  const isWhole = directory !== '/' && !by.visible.some(({ point }) => isBelow(point, directory))
  const isFit = by.owner === undefined || lstatSync(directory).uid === by.owner
  // Names that would need quoting in options of mount stay as they are.
  if (isWhole && isFit) return /^[\w./@+-]+$/.test(directory) ? [directory] : []
  if (depth === 0) return []
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap(({ name }) => coveredOf(directory === '/' ? `/${name}` : `${directory}/${name}`, by, depth - 1))
  } catch {
    return []
  }
}

/** The top of a layer has its own owner and mode, which are seen in place of those below. */
function likeness(place: string, top: string, isRoot: boolean): string {
  const { gid, mode, uid } = lstatSync(place)
  return `${isRoot ? `chown ${uid}:${gid} ${top} && ` : ''}chmod ${(mode & 0o7777).toString(8)} ${top}`
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory()
  } catch {
    return false
  }
}
