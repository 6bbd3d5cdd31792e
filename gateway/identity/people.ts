/** Everybody who ever signed in: which subject holds which user name, and the groups that the provider named last. */
import type { Identity, Subject, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Statements } from '../state/state.ts'
import type { IdentityParts, IdentitySettings } from './parts.ts'
import { type Row, text } from './row.ts'

export type Person = { readonly subject: Subject; readonly username: Username; readonly groups: readonly string[] }

/**
 * Keeps what a sign-in said. A user name belongs to the subject that came first: a provider that gives it to somebody else,
 * or a second provider that has one of the same name, does not hand over the first person's keys and grants.
 *
 * @throws {Refusal} NOT_SIGNED_IN when the name is another subject's.
 */
export async function remember(tx: Statements, who: Identity, now: Moment): Promise<void> {
  const [holder] = await tx.all('select subject from people where username = $1 and subject <> $2', [
    who.username,
    who.subject,
  ])
  if (holder !== undefined)
    throw new Refusal('NOT_SIGNED_IN', `The user name ${who.username} belongs to somebody else here.`, {
      next: 'Ask an administrator.',
      cause: new Error('the user name is held by another subject'),
    })
  await tx.run(
    `insert into people (subject, username, member_of, seen_at) values ($1, $2, $3, $4)
     on conflict (subject) do update set username = excluded.username, member_of = excluded.member_of, seen_at = excluded.seen_at`,
    [who.subject, who.username, JSON.stringify(who.groups), now],
  )
}

/**
 * The same for what was said a while ago and is shown again and again: a later sign-in counts for more.
 *
 * @returns the person as they are known now; undefined when they have another user name by now.
 */
export async function rememberSaid(tx: Statements, who: Identity, saidAt: Moment): Promise<Person | undefined> {
  const later = await tx.all('select 1 from people where subject = $1 and seen_at > $2', [who.subject, saidAt])
  if (later.length === 0) await remember(tx, who, saidAt)
  const known = await person(tx, who.username)
  return known?.subject === who.subject ? known : undefined
}

/** Whoever has not signed in since this moment may be in other groups by now: `people.seen_at` must be later. */
export const groupsKnownSince = ({
  clock,
  settings,
}: Pick<IdentityParts, 'clock'> & { readonly settings: Pick<IdentitySettings, 'groupsHoldMs'> }): number =>
  clock.now() - settings.groupsHoldMs

export async function person(store: Statements, username: string): Promise<Person | undefined> {
  const [row] = await store.all<Row>('select subject, username, member_of from people where username = $1', [username])
  if (row === undefined) return undefined
  return {
    subject: text(row, 'subject') as Subject,
    username: text(row, 'username') as Username,
    groups: JSON.parse(text(row, 'member_of')) as readonly string[],
  }
}

/**
 * Ends all that a sign-in of this person left behind, in the transaction of their lock: keys, database tokens, browsers (and the web targets
 * they were handed over to), shared and waiting sign-ins. A row that is over still says whose it was until the next sweep, so who comes with
 * it hears of the lock and not of a sign-in. Passkeys stay: alone they let nobody in.
 */
export async function endSignIns(
  tx: Statements,
  who: { readonly subject: Subject | undefined; readonly username: string },
): Promise<void> {
  const theirs = 'subject in (select subject from people where username = $1 or subject = $2)'
  const params = [who.username, who.subject ?? '']
  for (const table of ['browser_sessions', 'bound_keys', 'database_tokens', 'sign_in_leases', 'passkey_confirmations'])
    await tx.run(`update ${table} set expires_at = 0 where ${theirs}`, params)
  await tx.run(
    `update waiting_sign_ins set state = 'over', detail = 'The person was locked out.' where ${theirs} and state in ('shown', 'approved')`,
    params,
  )
}

/** Forgets somebody, so that the user name may be another subject's: after a new employee, or a provider with a new address. */
export async function release(tx: Statements, username: string): Promise<boolean> {
  const who = await person(tx, username)
  if (who === undefined) return false
  for (const table of ['browser_sessions', 'bound_keys', 'database_tokens', 'sign_in_leases', 'passkeys', 'people'])
    await tx.run(`delete from ${table} where subject = $1`, [who.subject])
  return true
}
