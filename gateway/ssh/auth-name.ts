/** The user name of an ssh connection: who it is, and perhaps which target and role. */
import { type Username, username } from '../model/identity.ts'

export type NamedPerson = {
  readonly username: Username
  readonly target: string | undefined
  readonly role: string | undefined
}

/** What a target or a role may be called on the wire: nothing here needs quoting anywhere. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

export const isName = (text: string): boolean => NAME.test(text)

/**
 * `user`, `user%target`, `user%target%role`, `user:target`. Anything else, and any character that has no business in a name, is undefined:
 * the caller gives the same answer as for a stranger.
 */
export function namedPerson(text: string): NamedPerson | undefined {
  if (text.length > 200) return undefined
  const [person = '', ...rest] = text.includes('%') ? text.split('%') : text.split(':')
  const mostParts = text.includes('%') ? 2 : 1
  const name = username(person)
  if (name === undefined || rest.length > mostParts || !rest.every(isName)) return undefined
  return { username: name, target: rest[0], role: rest[1] }
}
