/** Forgets what is over. */
import type { Moment } from '../model/moment.ts'
import type { IdentityParts } from './parts.ts'

/** A waiting sign-in is kept a little longer than it waits, so that late pages can say what became of it. */
const KEPT_MS = 10 * 60_000

export async function sweep(
  { state, settings }: Pick<IdentityParts, 'state' | 'settings'>,
  now: Moment,
): Promise<void> {
  await state.run('delete from sign_in_attempts where expires_at <= $1', [now])
  await state.run('delete from browser_sessions where expires_at <= $1 or seen_at <= $2', [
    now,
    now - settings.sessionIdleMs,
  ])
  await state.run('delete from bound_keys where expires_at <= $1', [now])
  await state.run('delete from waiting_sign_ins where expires_at <= $1', [now - KEPT_MS])
  await state.run('delete from database_tokens where expires_at <= $1', [now])
  await state.run('delete from sign_in_leases where expires_at <= $1', [now])
  await state.run('delete from passkey_challenges where expires_at <= $1', [now])
  await state.run('delete from passkey_confirmations where expires_at <= $1', [now])
  await state.run('delete from web_codes where expires_at <= $1', [now])
  await state.run('delete from web_sessions where browser not in (select id from browser_sessions)')
  await state.run('delete from spent_logout_tokens where expires_at <= $1', [now])
}
