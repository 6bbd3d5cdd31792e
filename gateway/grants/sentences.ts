/** What people are told about a grant that is over, or not theirs. */
import { type EndedGrant, type EndReason, type Grant, type GrantId, isLive } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'

export function endedSentence(grant: EndedGrant): string {
  const by = grant.endedBy === undefined ? '' : ` by ${grant.endedBy}`
  const note = grant.endNote === '' ? '' : `: ${grant.endNote}`
  const what = grant.extends === undefined && grant.held === undefined ? `Grant ${grant.id}` : `Request ${grant.id}`
  const isUsed = grant.held !== undefined && grant.endReason === 'released'
  if (isUsed) return `${what} is used up: the statement of ${grant.username} went on its way.`
  const sentences: Record<EndReason, string> = {
    expired: grant.liveAt === undefined ? `${what} lapsed before anybody decided.` : `${what} has expired.`,
    revoked: `${what} was revoked${by}${note}`,
    released: `${what} was released${by}${note}`,
    denied: `${what} was denied${by}${note}`,
    withdrawn: `${what} was withdrawn${by}${note}`,
    failed: `${what} failed${note}`,
  }
  return stop(sentences[grant.endReason])
}

const stop = (sentence: string): string => (/[.!?…]$/u.test(sentence) ? sentence : `${sentence}.`)

/** Why a session under this grant goes no further. */
export const endedRefusal = (grant: EndedGrant): Refusal =>
  new Refusal('GRANT_ENDED', endedSentence(grant), { next: `Ask for ${grant.target} again when you still need it.` })

export const expiredRefusal = (grant: Grant): Refusal =>
  new Refusal('GRANT_ENDED', `Grant ${grant.id} has expired.`, {
    next: `Ask for ${grant.target} again when you still need it.`,
  })

export const lockedRefusal = (lock: { readonly by: string; readonly note: string }): Refusal =>
  new Refusal('LOCKED', stop(`Your access was locked by ${lock.by}${lock.note === '' ? '' : `: ${lock.note}`}`), {
    next: 'Speak to an administrator.',
  })

export const notFound = (id: GrantId): Refusal =>
  new Refusal(
    'NOT_FOUND',
    /^\d{1,15}$/.test(id) ? `There is no grant or request ${id} for you.` : 'There is no such grant.',
    {
      next: 'Look at what there is under requests and grants.',
    },
  )

/** The state does not permit the step. */
export function conflict(grant: Grant, now: Moment): Refusal {
  if (grant.state === 'ended') return new Refusal('CONFLICT', endedSentence(grant))
  if (grant.state === 'requested')
    return new Refusal('CONFLICT', `Request ${grant.id} still waits for a decision.`, { next: 'It can be withdrawn.' })
  if (grant.held !== undefined) return new Refusal('CONFLICT', `Request ${grant.id} has been approved already.`)
  if (grant.state === 'approved')
    return new Refusal('CONFLICT', `Request ${grant.id} has been approved: it belongs to grant ${grant.extends ?? ''}.`)
  return new Refusal('CONFLICT', `Grant ${grant.id} ${isLive(grant, now) ? 'is live already' : 'has expired'}.`)
}
