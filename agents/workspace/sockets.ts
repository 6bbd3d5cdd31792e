/** Unix sockets that stand in the file system: connecting to one writes to somebody, on a read-only mount as well. */
import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs'

/** Absolute paths, of every network namespace that this process may look into. Each is a socket now, and is named as the file system does. */
export function boundSockets(): readonly string[] {
  const seen = new Set<string>()
  const paths = new Set<string>()
  for (const pid of ['self', ...readdirSync('/proc').filter((name) => /^\d+$/.test(name))]) {
    try {
      const network = readlinkSync(`/proc/${pid}/ns/net`)
      if (seen.has(network)) continue
      seen.add(network)
      for (const line of readFileSync(`/proc/${pid}/net/unix`, 'utf8').split('\n').slice(1)) {
        // Num RefCount Protocol Flags Type St Inode Path
        const path = /^\S+ \S+ \S+ \S+ \S+ \S+ +\d+ (\/.*)$/.exec(line)?.[1]
        if (path !== undefined) paths.add(path)
      }
    } catch {
      // Gone already, or not ours to look at.
    }
  }
  return [...paths].flatMap((path) => {
    try {
      return lstatSync(path).isSocket() ? [realpathSync(path)] : []
    } catch {
      return []
    }
  })
}
