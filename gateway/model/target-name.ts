/** How a person names a target, on every wire: `prod-db`, and where they hold several grants there, which one: `prod-db%operator`, `prod-db%37`. */
import type { GrantId } from './grant.ts'

/** The newest live grant of that role, or the one with that number. */
export type GrantChoice =
  | { readonly kind: 'role'; readonly role: string }
  | { readonly kind: 'grant'; readonly grant: GrantId }

export type TargetName = {
  readonly target: string
  /** Undefined: the newest of all. */
  readonly under: GrantChoice | undefined
}

/** What a target or a role may be called on the wire: nothing here needs quoting anywhere. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/
/** Roles begin with a letter: what is only digits is a grant. */
const NUMBER = /^\d{1,15}$/

/** Undefined for anything else than `target`, `target%role` and `target%number`. */
export function readTargetName(text: string): TargetName | undefined {
  const [target = '', chosen, ...more] = text.split('%', 3)
  const under = chosen === undefined ? undefined : readChoice(chosen)
  const isName = NAME.test(target) && more.length === 0 && (chosen === undefined) === (under === undefined)
  return isName ? { target, under } : undefined
}

/** What stands behind the `%`, or in the address of a page. */
export function readChoice(text: string): GrantChoice | undefined {
  if (NUMBER.test(text)) return { kind: 'grant', grant: text as GrantId }
  return NAME.test(text) ? { kind: 'role', role: text } : undefined
}

export const choiceText = (choice: GrantChoice): string => (choice.kind === 'role' ? choice.role : choice.grant)

/** One answer for all that is not live for this person, so that a stranger learns nothing from asking. */
export const noGrantText = (target: string, under: GrantChoice | undefined): string =>
  under?.kind === 'grant' ? `Grant ${under.grant} is not live, or not yours.` : `No live grant for ${target}.`

/** The role that was named, for whoever asks for a grant: a number names none that could be asked for. */
export const roleIn = (choice: GrantChoice | undefined): string | undefined =>
  choice?.kind === 'role' ? choice.role : undefined
