/** What of a configuration counts as soon as it is read again, and what from the next start only. */
import { isDeepStrictEqual } from 'node:util'
import type { Config } from './load.ts'

/** The running configuration with all of `next` that can be followed. A worker that is started again gets it, too: all workers go by one. */
export function followed(running: Config, next: Config): Config {
  const { admins, auditors, machines, notify, roles, targets } = next
  const identity = { ...running.identity, user_authorities: next.identity.user_authorities }
  return { ...running, admins, auditors, machines, notify, roles, targets, identity }
}

/** Keys whose change waits for the next start: `listen`, `identity.providers`. */
export function waiting(running: Config, next: Config): readonly string[] {
  const now = followed(running, next)
  return differ(now, next).flatMap((key) =>
    key === 'identity' ? differ(now.identity, next.identity).map((inner) => `identity.${inner}`) : [key],
  )
}

const differ = (a: object, b: object): readonly string[] =>
  Array.from(new Set([...Object.keys(a), ...Object.keys(b)]))
    .filter((key) => !isDeepStrictEqual(a[key as keyof typeof a], b[key as keyof typeof b]))
    .toSorted()
