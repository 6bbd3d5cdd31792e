/** The user name of an ssh connection: who it is, and perhaps which target and which grant there. */
import { type Username, username } from '../model/identity.ts'
import { readTargetName, type TargetName } from '../model/target-name.ts'

export type NamedPerson = {
  readonly username: Username
  readonly place: TargetName | undefined
}

/**
 * `user`, `user%target`, `user%target%role`, `user%target%number`, `user:target`. Anything else, and any character that has no business
 * in a name, is undefined: the caller gives the same answer as for a stranger.
 */
export function namedPerson(text: string): NamedPerson | undefined {
  if (text.length > 200) return undefined
  const at = text.search(/[%:]/)
  const name = username(at < 0 ? text : text.slice(0, at))
  const place = at < 0 ? undefined : readTargetName(text.slice(at + 1))
  if (name === undefined || (at >= 0 && place === undefined)) return undefined
  return { username: name, place }
}
