/** People who are locked out, whatever they were granted. */
import type { Identity, Subject, Username } from '../model/identity.ts'
import type { Approval } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'
import type { Statements } from '../state/state.ts'
import { lockedRefusal } from './sentences.ts'

export type Lock = { readonly username: Username; readonly at: Moment; readonly by: Username; readonly note: string }

type Person = Pick<Identity, 'subject' | 'username'>

/** By either: a lock follows a person who gets another name, and holds for whoever comes under the locked name. */
export async function lockOn(on: Statements, person: Person): Promise<Lock | undefined> {
  const rows = await on.all<{ username: Username; locked_at: Moment; locked_by: Username; note: string }>(
    'select username, locked_at, locked_by, note from locks where subject = $1 or username = $2 order by locked_at limit 1',
    [person.subject, person.username],
  )
  const row = rows[0]
  return row === undefined
    ? undefined
    : { username: row.username, at: row.locked_at, by: row.locked_by, note: row.note }
}

/** @throws {Refusal} LOCKED. */
export async function refuseLocked(on: Statements, person: Person): Promise<void> {
  const lock = await lockOn(on, person)
  if (lock !== undefined) throw lockedRefusal(lock)
}

/** Approvals of people who may still decide, and of those who are locked out by now. */
export async function parted(
  on: Statements,
  approvals: readonly Approval[],
): Promise<{ readonly standing: readonly Approval[]; readonly locked: readonly Approval[] }> {
  const standing: Approval[] = []
  const locked: Approval[] = []
  for (const approval of approvals) {
    const { by: username, subject } = approval
    ;((await lockOn(on, { subject, username })) === undefined ? standing : locked).push(approval)
  }
  return { standing, locked }
}

export async function allLocks(on: Statements): Promise<readonly Lock[]> {
  const rows = await on.all<{ username: Username; locked_at: Moment; locked_by: Username; note: string }>(
    'select username, locked_at, locked_by, note from locks order by locked_at desc limit 1000',
  )
  return rows.map((row) => ({ username: row.username, at: row.locked_at, by: row.locked_by, note: row.note }))
}

export async function setLock(tx: Statements, lock: Lock, subject: Subject | undefined): Promise<void> {
  await tx.run(
    `insert into locks (username, subject, locked_at, locked_by, note) values ($1, $2, $3, $4, $5)
     on conflict (username) do update set locked_at = excluded.locked_at, locked_by = excluded.locked_by, note = excluded.note`,
    [lock.username, subject ?? null, lock.at, lock.by, lock.note],
  )
}

/** Whom it held, as far as we know the person. Undefined: there was none. */
export async function dropLock(
  tx: Statements,
  username: string,
): Promise<{ readonly subject: Subject | undefined } | undefined> {
  const [row] = await tx.all<{ subject: Subject | null }>('delete from locks where username = $1 returning subject', [
    username,
  ])
  return row === undefined ? undefined : { subject: row.subject ?? undefined }
}

/** Somebody who was locked by name before we knew the person. */
export async function rememberSubject(on: Statements, person: Person): Promise<void> {
  await on.run('update locks set subject = $1 where username = $2 and subject is null', [
    person.subject,
    person.username,
  ])
}
