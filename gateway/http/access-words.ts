/** Why somebody has no access at the moment, and what they can do now: for a person on a page, and for a program in JSON. */
import type { Grant } from '../model/grant.ts'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/refusal.ts'
import type { Denial, Saying } from './deny.ts'
import type { HttpParts } from './parts.ts'

/** Ends that are longer ago explain nothing. */
const RECENT_MS = 12 * 3_600_000
const TELLING: ReadonlySet<string> = new Set(['expired', 'revoked', 'released', 'denied'])
const LOOK_AGAIN_SECONDS = 3

type Parts = Pick<HttpParts, 'settings' | 'notes'> & { readonly desk: HttpParts['road']['desk'] }
type Ended = Extract<Grant, { state: 'ended' }>
type Words = { readonly no: Denial; readonly saying: Pick<Saying, 'links' | 'more' | 'title' | 'refresh'> }

/** An unknown target, one that is forbidden and one without a grant differ only in what this person may ask for anyway. */
export async function noAccess(
  { desk, settings, notes }: Parts,
  about: { readonly identity: Identity; readonly target: string; readonly returnTo: string; readonly no: Denial },
): Promise<Words> {
  const { identity, target, returnTo, no } = about
  const view = (await desk.targets(identity)).find((seen) => seen.target.name === target)
  const mine = (grant: Grant) => grant.subject === identity.subject && grant.endpoints.includes('http')
  const ended = (await desk.grants(identity, { state: 'ended', username: identity.username, target, limit: 10 }))
    .filter(mine)
    .flatMap((grant) => (grant.state === 'ended' && TELLING.has(grant.endReason) ? [grant] : []))
    .filter(({ endedAt }) => notes.clock.now() - endedAt < RECENT_MS)
    .toSorted((a, b) => b.endedAt - a.endedAt)[0]
  const live = await desk.grants(identity, { state: 'live', username: identity.username, target, limit: 10 })
  const held = live.find(({ subject, endpoints }) => subject === identity.subject && !endpoints.includes('http'))
  const nothing = `You have no access to ${target} at the moment.`
  const story =
    ended !== undefined
      ? `${endWords(ended)} ${nothing}`
      : held === undefined
        ? nothing
        : `Your grant ${held.id} (${held.role}) opens ${held.endpoints.join(' and ')} on ${target}, not its web application.`
  const waiting = view?.grants.find(
    (grant) => mine(grant) && grant.state === 'requested' && grant.extends === undefined,
  )
  if (waiting !== undefined)
    return {
      no: {
        ...no,
        message: `Request ${waiting.id} for the role ${waiting.role} on ${target} waits for approval.`,
        next: undefined,
      },
      saying: {
        title: 'Waiting for approval',
        more: ['This page goes on by itself as soon as somebody has approved it.'],
        links: [{ label: 'See all requests', href: settings.publicUrl }],
        refresh: LOOK_AGAIN_SECONDS,
      },
    }
  const roles = view?.target.http === undefined ? [] : view.roles.filter(({ endpoints }) => endpoints.includes('http'))
  if (roles.length === 0)
    return {
      no: {
        ...no,
        message: story,
        next: 'There is no role that you could ask for.',
      },
      saying: { title: 'No access' },
    }
  const ask = `${settings.publicUrl}${settings.portalPaths.ask}?${new URLSearchParams({ target, returnTo }).toString()}`
  return {
    no: { ...no, message: story, next: `Ask for it: ${ask}` },
    saying: {
      title: titleOf(ended, held),
      links: [{ label: 'Ask for access', href: ask }],
    },
  }
}

function titleOf(ended: Ended | undefined, held: Grant | undefined): string {
  if (ended === undefined) return held === undefined ? 'Ask for access first' : 'Your grant does not cover this'
  return ended.endReason === 'denied' ? 'Your request was denied' : 'Your access has ended'
}

function endWords(grant: Ended): string {
  const note = grant.endNote === '' ? '' : `: ${grant.endNote}`
  const by = grant.endedBy === undefined ? '' : ` by ${grant.endedBy}`
  if (grant.endReason === 'expired') return `Grant ${grant.id} has expired.`
  if (grant.endReason === 'released') return `Grant ${grant.id} was given back.`
  if (grant.endReason === 'denied') return `Request ${grant.id} was denied${by}${note}.`
  return `Grant ${grant.id} was revoked${by}${note}.`
}

/** Refusals that mean "no live grant", whatever cut it. */
export const isAboutAccess = (why: unknown): why is Refusal =>
  why instanceof Refusal && (why.code === 'NO_GRANT' || why.code === 'GRANT_ENDED')
