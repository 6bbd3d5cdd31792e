/** What a client's `database` names: a target, perhaps which grant there, perhaps one of the target's databases. */
import { readTargetName, type TargetName } from '../model/target-name.ts'

export type DatabaseName = TargetName & {
  /** Undefined: the endpoint's own. */
  readonly database: string | undefined
}

const DATABASE = /^[^\p{Cc}/]{1,63}$/u

/** `target`, `target%role`, `target%number`, each perhaps with `/database`; undefined for anything else. */
export function readDatabaseName(text: string): DatabaseName | undefined {
  const [first = '', database, ...more] = text.split('/', 3)
  const name = readTargetName(first)
  if (name === undefined || more.length > 0) return undefined
  return database === undefined || DATABASE.test(database) ? { ...name, database } : undefined
}
