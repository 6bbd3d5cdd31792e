/** The mounts of a namespace as /proc/PID/mountinfo tells them: which of them a path can reach, and which of those could be written. Pure. */

export type Mount = {
  readonly id: number
  readonly parent: number
  readonly point: string
  /** Of this mount, not of the file system behind it: `rw`, `nosuid`, `nodev`… */
  readonly options: readonly string[]
  readonly type: string
  readonly source: string
  /** Whether mounts made elsewhere would appear here. */
  readonly isShared: boolean
}

/** proc(5). */
export function readMounts(mountinfo: string): readonly Mount[] {
  return mountinfo
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const words = line.split(' ')
      const end = words.indexOf('-', 6)
      const [id, parent, , , point = '', options = ''] = words
      const [type = '', source = ''] = words.slice(end + 1)
      return {
        id: Number(id),
        parent: Number(parent),
        point: unescaped(point),
        options: options.split(','),
        type,
        source: unescaped(source),
        isShared: words.slice(6, end).some((field) => /^(shared|master):/.test(field)),
      }
    })
}

/** Space, tab, newline and backslash are octal there. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

/** Whether `path` lies under `directory`, and is not it. */
export const isBelow = (path: string, directory: string): boolean =>
  path !== directory && path.startsWith(directory === '/' ? '/' : `${directory}/`)

/** What a path can still reach: not what another mount lies on. */
export function visibleMounts(mounts: readonly Mount[]): readonly Mount[] {
  const byId = new Map(mounts.map((mount) => [mount.id, mount]))
  const children = Map.groupBy(mounts, ({ parent }) => parent)
  const isHidden = (mount: Mount): boolean => {
    const parent = byId.get(mount.parent)
    if (parent === undefined || parent === mount) return false
    const siblings = (children.get(parent.id) ?? []).filter((other) => other !== mount)
    const isUnder = siblings.some(
      ({ point }) => isBelow(mount.point, point) || (point === parent.point && mount.point !== point),
    )
    return isUnder || isHidden(parent)
  }
  return mounts.filter(
    (mount) =>
      !isHidden(mount) &&
      !(children.get(mount.id) ?? []).some((above) => above !== mount && above.point === mount.point),
  )
}

/** Where a mount of ours may be written. */
export type Ours = ReadonlyMap<string, string>

export const SOURCE = 'sallyport'

/** A sentence about the first mount that breaks the promise; undefined when it holds. @param ours place → type of what may be written. */
export function broken(mounts: readonly Mount[], ours: Ours): string | undefined {
  for (const { isShared, options, point, source, type } of visibleMounts(mounts)) {
    const isOurs = source === SOURCE && ours.get(point) === type
    // It holds nothing itself; what it would mount is not mounted here.
    if (type === 'autofs') continue
    if (isShared) return `${point} would follow the mounts of the host`
    if (!options.includes('ro') && !isOurs) return `${point} (${type}) could still be written`
    if (!options.includes('nosuid')) return `${point} (${type}) would take setuid programs`
    if (!options.includes('nodev') && !point.startsWith('/dev/')) return `${point} (${type}) would take devices`
  }
  for (const [point, type] of ours)
    if (!visibleMounts(mounts).some((mount) => mount.point === point && mount.type === type && mount.source === SOURCE))
      return `${point} is not ours`
  return undefined
}
