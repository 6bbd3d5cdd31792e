/**
 * Workspaces: the isolated place on this host where a session runs. Namespaces of its own, the whole root read-only (or under layers that are thrown away),
 * no privilege that could be regained. Each is checked before a program starts in it; where it cannot be made, nothing runs.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readFileSync } from 'node:fs'
import type { Account } from '../account.ts'
import type { Reaper } from '../reaper.ts'
import { type Ability, reasonOf, tryOut } from './ability.ts'
import { type Changes, changesOf } from './changes.ts'
import { Holder } from './holder.ts'
import { ownKeyring } from './keyring.ts'
import { type Group, type Limits, openLimits, processLimits } from './limits.ts'
import { broken, readMounts } from './mounts.ts'
import { LAYER, type Plan, planOf, USERS } from './plan.ts'
import { boundSockets } from './sockets.ts'
import type { WorkspaceWish } from './wish.ts'

export type Workspace = {
  /** What stands before a program so that it runs in here as the account, in that directory where it is there. */
  before(directory: string): readonly string[]
  /** Everything in it is killed. @returns what an overlay's layer holds then; undefined for a read-only one. */
  finish(): Promise<Changes | undefined>
  /** It is gone, with all that runs in it. */
  end(): void
}

export type Workspaces = {
  readonly ability: Ability
  /** For people: what this host can do, and what it cannot and why. */
  readonly words: string
  /** @throws {Error} with a sentence; nothing was started then. */
  open(wish: WorkspaceWish, account: Account): Promise<Workspace>
}

export type WorkspacesParts = {
  /** Directories that nobody in a workspace is to see. */
  readonly hidden: readonly string[]
  /** Ends the holders when this process is killed. */
  readonly reaper: Reaper
}

export async function openWorkspaces(parts: WorkspacesParts): Promise<Workspaces> {
  const limits = openLimits()
  const ability = await tryOut(async (wish) => (await prepare(wish, parts)).end())
  const can = ability.readOnly === undefined
  const words = !can
    ? `no workspaces: ${ability.readOnly}`
    : `workspaces: read-only${ability.overlay === undefined ? ', overlay' : `; no overlay: ${ability.overlay}`}; ${limits.words}`
  return {
    ability,
    words,
    open: async (wish, account) => {
      const why = wish.mode === 'overlay' ? ability.overlay : ability.readOnly
      if (why !== undefined) throw new Error(sentence(wish, why))
      try {
        return await open(wish, account, { ...parts, limits })
      } catch (failure) {
        throw new Error(sentence(wish, reasonOf(failure)), { cause: failure })
      }
    },
  }
}

const sentence = ({ mode }: WorkspaceWish, why: string): string =>
  `This session needs ${mode === 'overlay' ? 'an overlay' : 'a read-only'} workspace, and this host cannot make one: ${why}`

type Prepared = { readonly holder: Holder; readonly plan: Plan; readonly layer: number; end(): void }

/** @throws {Error} when a step fails, or when the mounts are not what they must be. */
async function prepare(wish: WorkspaceWish, { hidden, reaper }: WorkspacesParts): Promise<Prepared> {
  const holder = await Holder.start(wish.network, reaper)
  let layer: number | undefined
  const end = () => {
    holder.end()
    if (layer !== undefined) closeSync(layer)
    layer = undefined
  }
  const mounts = () => readMounts(readFileSync(`/proc/${holder.pid}/mountinfo`, 'utf8'))
  try {
    const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
    const own = uid === 0 ? undefined : { uid, gid }
    const plan = planOf({ wish, mounts: mounts(), hidden, sockets: boundSockets(), own })
    for (const { line, name } of plan.before) await holder.step(name, line)
    layer = openSync(`/proc/${holder.pid}/root${LAYER}`, 'r')
    for (const { line, name } of plan.after) await holder.step(name, line)
    const wrong = broken(mounts(), plan.ours)
    if (wrong !== undefined) throw new Error(`${wrong}.`)
    return { holder, plan, layer, end }
  } catch (failure) {
    end()
    throw failure
  }
}

async function open(
  wish: WorkspaceWish,
  account: Account,
  { limits, ...parts }: WorkspacesParts & { readonly limits: Limits },
): Promise<Workspace> {
  const prepared = await prepare(wish, parts)
  const { holder, layer, plan } = prepared
  let group: Group | undefined
  try {
    group = limits.group(randomUUID(), wish)
    if (group !== undefined) parts.reaper.watch({ leader: holder.pid, mark: undefined, cgroup: group.path })
  } catch (failure) {
    prepared.end()
    throw failure
  }
  const keyring = ownKeyring()
  let isOver = false
  const end = () => {
    if (isOver) return
    isOver = true
    prepared.end()
    group?.end()
  }
  // Somebody else may have ended it: nothing may run outside then, and nothing does.
  void holder.gone.then(end)
  return {
    before: (directory) => [
      ...joining(group),
      ...holder.enter,
      ...become(account, group === undefined ? processLimits(wish) : []),
      ...keyring,
      '/bin/sh',
      '-c',
      'cd -- "$0" 2>/dev/null || cd /; exec /usr/bin/env --default-signal=INT,QUIT,TSTP -- "$@"',
      directory,
    ],
    finish: async () => {
      await holder.killAll()
      return wish.mode === 'overlay'
        ? changesOf({
            layer: `/proc/self/fd/${layer}`,
            merged: `/proc/${holder.pid}/root`,
            covered: plan.covered,
            account,
          })
        : undefined
    },
    end,
  }
}

/** Keys of a terminal are for the program, not for who waits for it outside; and the cgroup is entered before anything else. */
function joining(group: Group | undefined): readonly string[] {
  const join = group === undefined ? '' : 'echo 0 >"$0" && '
  return ['/bin/sh', '-c', `trap '' INT QUIT TSTP; ${join}exec "$@"`, group?.procs ?? 'sh']
}

/** From root of the namespace to the account, with nothing that could be regained. */
function become({ gid, groups, uid }: Account, limits: readonly string[]): readonly string[] {
  const isRoot = process.getuid?.() === 0
  return [
    '/usr/bin/prlimit',
    '--core=0',
    ...limits,
    ...(isRoot ? [] : ['/usr/bin/nsenter', `--user=${USERS}`, '--preserve-credentials', '--']),
    '/usr/bin/setpriv',
    ...(isRoot ? [`--reuid=${uid}`, `--regid=${gid}`, `--groups=${groups.join(',')}`, '--bounding-set=-all'] : []),
    '--inh-caps=-all',
    '--no-new-privs',
    '--',
  ]
}
