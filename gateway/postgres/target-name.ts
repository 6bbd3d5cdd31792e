/** What a client's `database` names: a target, perhaps one of its databases, perhaps the role to use there. */

export type TargetName = {
  readonly target: string
  readonly role: string | undefined
  /** Undefined: the endpoint's own. */
  readonly database: string | undefined
}

const NAME = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})(?:%([A-Za-z0-9][A-Za-z0-9._-]{0,63}))?(?:\/([^\p{Cc}/]{1,63}))?$/u

/** `target`, `target/database`, `target%role`, `target%role/database`; undefined for anything else. */
export function readTargetName(text: string): TargetName | undefined {
  const [, target, role, database] = NAME.exec(text) ?? []
  return target === undefined ? undefined : { target, role, database }
}
