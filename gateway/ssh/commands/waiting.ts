/** Waiting for people: until a request is decided, or the person takes it back. */
import type { Grant } from '../../model/grant.ts'
import { Refusal } from '../../model/refusal.ts'
import type { Context } from './command.ts'
import { typed } from './command.ts'
import { approvers, roleOf } from './listings.ts'
import { clockTime, spanOf } from './spans.ts'

/** A grant that was approved but is not live after this time waits for something that went wrong. */
const PROVISION_MS = 30_000
const LOOK_EVERY_MS = 250

/**
 * Says that the request waits and returns what became of it. Ctrl-C withdraws.
 *
 * @throws {Refusal} with the sentence for the person when it was denied, withdrawn or ended otherwise.
 */
export async function untilDecided(context: Context, asked: Grant): Promise<Grant> {
  const { console } = context
  const how = console.hasTerminal ? ' (Ctrl-C withdraws)' : ''
  await console.note(`waiting for approval by ${await whoDecides(context, asked)}… request ${asked.id}${how}\n`)
  const stop = new AbortController()
  const signal = AbortSignal.any([stop.signal, console.closed])
  try {
    const decided = context.desk.decided(asked.id, signal)
    const answer = console.hasTerminal ? Promise.race([decided, interrupted(context, signal)]) : decided
    const grant = await answer
    if (grant === 'interrupted') return refused(await context.desk.withdraw(context.identity, asked.id))
    return await untilLive(context, grant)
  } finally {
    stop.abort(new Refusal('NOT_FOUND', 'Nobody waits any more.'))
  }
}

async function untilLive(context: Context, grant: Grant): Promise<Grant> {
  let now = grant
  const until = context.clock.now() + PROVISION_MS
  while (now.state === 'approved' && context.clock.now() < until && !context.console.closed.aborted) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    now = await context.desk.grant(context.identity, grant.id)
  }
  return now.state === 'ended' ? refused(now) : now
}

/** Resolves on Ctrl-C or at the end of input of a terminal; other keys are dropped. Never rejects: the other side of the race decides then. */
async function interrupted({ console }: Context, signal: AbortSignal): Promise<'interrupted'> {
  try {
    for (;;) {
      const key = await console.key(signal)
      if (key === undefined || key.kind === 'interrupt') return 'interrupted'
    }
  } catch {
    return new Promise(() => undefined)
  }
}

function refused(grant: Grant): never {
  throw new Refusal('NO_GRANT', whyNot(grant))
}

/** Why a grant is no more, for its person. */
export function whyNot(grant: Grant): string {
  if (grant.state !== 'ended') return `Request ${grant.id} is still waiting.`
  const by = grant.endedBy === undefined ? '' : ` by ${grant.endedBy}`
  const note = grant.endNote === '' ? '.' : `: ${grant.endNote}`
  switch (grant.endReason) {
    case 'withdrawn':
      return `Request ${grant.id} is withdrawn.`
    case 'denied':
      return `Request ${grant.id} was denied${by}${note}`
    case 'expired':
      return `Request ${grant.id} has run out before anybody decided.`
    case 'revoked':
    case 'released':
      if (grant.held !== undefined) return `Request ${grant.id} is used up: its statement went on its way.`
      return `Grant ${grant.id} was ${grant.endReason}${by}${note}`
    case 'failed':
      return `Grant ${grant.id} could not be set up${note}`
  }
  return grant.endReason satisfies never
}

async function whoDecides(context: Context, grant: Grant): Promise<string> {
  const roles = await context.desk.roles(context.identity)
  const role = roles.find(({ name }) => name === grant.role)
  return role === undefined ? 'an approver' : approvers(role)
}

/** `operator on prod-db for 30m`, and the like. */
export function wishOf(grant: Grant): string {
  const span = spanOf(grant.minutes * 60_000)
  if (grant.held !== undefined) return `${grant.held.verb} of ${grant.username} on ${grant.target}`
  return grant.extends === undefined
    ? `${grant.role} on ${grant.target} for ${span}`
    : `${span} more for grant ${grant.extends} (${grant.role} on ${grant.target})`
}

/** What a person reads after a request, an approval, an extension. */
export async function saidOf(context: Context, grant: Grant): Promise<string> {
  switch (grant.state) {
    case 'live': {
      const left = spanOf(grant.expiresAt - context.clock.now())
      const until = clockTime(grant.expiresAt, context.clock.now())
      const mine = grant.subject === context.identity.subject
      const how = grant.endpoints.includes('ssh')
        ? typed(context, grant.target, ' -t')
        : `How to open it: ${context.publicUrl}/`
      const next = mine ? `\n${how}` : ''
      return `Grant ${grant.id}: ${roleOf(grant)} on ${grant.target} for ${grant.username}, until ${until} (${left}).${next}\n`
    }
    case 'approved':
      if (grant.held !== undefined) return `Request ${grant.id} is approved: ${grant.held.verb} runs once.\n`
      return grant.extends === undefined
        ? `Grant ${grant.id} is approved and being set up.\n`
        : `Request ${grant.id} is approved: grant ${grant.extends} lasts longer.\n`
    case 'requested':
      if (grant.held !== undefined)
        return `Request ${grant.id}: ${wishOf(grant)} waits (${grant.approvals.length} of ${grant.approvalsNeeded}).\n`
      return `Request ${grant.id}: ${wishOf(grant)} waits for approval by ${await whoDecides(context, grant)} (${grant.approvals.length} of ${grant.approvalsNeeded}).\n`
    case 'ended':
      return `${whyNot(grant)}\n`
  }
  return grant satisfies never
}
