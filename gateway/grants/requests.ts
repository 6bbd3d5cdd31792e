/** From request to live grant: ask, approve, deny, withdraw, extend. */
import {
  type Approval,
  type ApprovedGrant,
  approve,
  approveByRule,
  type Cut,
  type Grant,
  type GrantId,
  isLive,
  type LiveGrant,
  provision,
  type RequestedGrant,
} from '../model/grant.ts'
import type { Identity } from '../model/identity.ts'
import { after, inWords, minutesToMs, type Moment } from '../model/moment.ts'
import { Fault, Refusal } from '../model/refusal.ts'
import { span } from '../model/role-words.ts'
import type { Role } from '../model/role.ts'
import type { Ask } from '../session/session.ts'
import { type Choice, choose, decides, isAdmin, isOwn, isSamePerson, mayAsk, roleOf, sees } from './authority.ts'
import { endGrant } from './endings.ts'
import { letThrough } from './holds.ts'
import type { Policy } from './policy.ts'
import { line, minutesFor, minutesWithin } from './input.ts'
import type { Ledger, Page } from './ledger.ts'
import { parted, refuseLocked } from './locks.ts'
import type { Kept } from './rows.ts'
import { conflict, notFound } from './sentences.ts'

export type RequestsParts = {
  readonly ledger: Ledger
  readonly policy: () => Policy
  readonly limits: { readonly waiting: number; readonly held: number }
}

const MOST_TICKET = 100

/** A rule by people needs at least one of them, whatever its count says. */
const approvalsFor = (role: Role): number => (role.approval.kind === 'auto' ? 0 : Math.max(1, role.approval.count))

export class Requests {
  readonly #parts: RequestsParts

  constructor(parts: RequestsParts) {
    this.#parts = parts
  }

  async request(identity: Identity, ask: Ask): Promise<Grant> {
    const reason = line(ask.reason, 'reason', 3)
    const ticket = (ask.ticket ?? '').trim() === '' ? undefined : line(ask.ticket ?? '', 'ticket', 1, MOST_TICKET)
    const { target, role, endpoints } = choose(this.#parts.policy(), identity, ask)
    const minutes = minutesFor(role, ask.minutes)
    return this.#parts.ledger.write(async (page) => {
      await refuseLocked(page.tx, identity)
      const own = ask.orLive === true ? await liveOf(page, identity, { target, role, endpoints }) : undefined
      if (own !== undefined) return own
      await this.#refuseTooMany(page, identity, target.name, role.name)
      const asked: RequestedGrant = {
        id: await page.nextId(),
        subject: identity.subject,
        username: identity.username,
        proof: identity.proof,
        target: target.name,
        role: role.name,
        endpoints,
        minutes,
        reason,
        ...(ticket === undefined ? {} : { ticket }),
        requestedAt: page.now,
        approvalsNeeded: approvalsFor(role),
        approvals: [],
        state: 'requested',
      }
      return this.#enter(page, asked)
    })
  }

  approve(identity: Identity, id: GrantId, cut: Cut): Promise<Grant> {
    return this.#parts.ledger.write(async (page) => {
      await refuseLocked(page.tx, identity)
      const { kept, grant: asked } = await this.#waiting(page, identity, id)
      // Who was locked out since counts no more.
      const grant = { ...asked, approvals: (await parted(page.tx, asked.approvals)).standing }
      if (isSamePerson(identity, grant))
        throw new Refusal('SELF_APPROVAL', 'Nobody approves their own request.', { next: 'Somebody else has to.' })
      const role = this.#roleOf(grant)
      if (!decides(this.#parts.policy(), identity, grant))
        throw new Refusal('NOT_ALLOWED', `${subjectOf(grant)} is for others to approve.`)
      const { held } = grant
      if (held !== undefined) return letThrough(page, identity, kept, { grant: { ...grant, held }, role, cut })
      refuseMore(grant, cut)
      const raised = { ...grant, approvalsNeeded: Math.max(grant.approvalsNeeded, approvalsFor(role)) }
      const next = approve(raised, identity, page.now, cut)
      if (next === 'self-approval') throw new Refusal('SELF_APPROVAL', 'Nobody approves their own request.')
      if (next === 'approved-before') throw new Refusal('CONFLICT', `You have approved request ${id} already.`)
      tellApproved(page, identity, next)
      if (next.state === 'requested') {
        await page.put(kept, next)
        return next
      }
      return next.extends === undefined
        ? this.#begin(page, kept, next)
        : this.#lengthenBy(page, identity, kept, { ...next, extends: next.extends }, role)
    })
  }

  deny(identity: Identity, id: GrantId, why: string): Promise<Grant> {
    const note = line(why, 'reason', 1)
    return this.#parts.ledger.write(async (page) => {
      await refuseLocked(page.tx, identity)
      const { kept, grant } = await this.#waiting(page, identity, id)
      if (isOwn(identity, grant))
        throw new Refusal('NOT_ALLOWED', `Request ${id} is your own.`, { next: 'You can withdraw it.' })
      const policy = this.#parts.policy()
      if (!decides(policy, identity, grant) && !isAdmin(policy, identity))
        throw new Refusal('NOT_ALLOWED', `${subjectOf(grant)} is for others to decide.`)
      return endGrant(page, kept, { reason: 'denied', at: page.now, by: identity.username, note })
    })
  }

  withdraw(identity: Identity, id: GrantId): Promise<Grant> {
    return this.#parts.ledger.write(async (page) => {
      const { kept, grant } = await this.#waiting(page, identity, id)
      if (!isOwn(identity, grant))
        throw new Refusal('NOT_ALLOWED', `Request ${id} is not yours to withdraw.`, { next: 'It can be denied.' })
      return endGrant(page, kept, { reason: 'withdrawn', at: page.now, by: identity.username })
    })
  }

  async extend(
    identity: Identity,
    id: GrantId,
    how: { readonly minutes?: number | undefined; readonly reason?: string | undefined },
  ): Promise<Grant> {
    const reason = how.reason === undefined ? undefined : line(how.reason, 'reason', 3)
    return this.#parts.ledger.write(async (page) => {
      await refuseLocked(page.tx, identity)
      const kept = await this.#seen(page, identity, id)
      const { grant } = kept
      if (!isOwn(identity, grant)) throw new Refusal('NOT_ALLOWED', `Grant ${id} is not yours to extend.`)
      if (!isLive(grant, page.now)) throw conflict(grant, page.now)
      const role = this.#roleOf(grant)
      const target = this.#parts.policy().targets.find(({ name }) => name === grant.target)
      if (target === undefined || !mayAsk(identity, role, target))
        throw new Refusal('NOT_ALLOWED', `Role ${role.name} is no longer yours to ask for.`)
      const minutes = minutesFor(role, how.minutes)
      if (lengthened(grant, minutes, role, page.now) <= grant.expiresAt)
        throw new Refusal(
          'BAD_INPUT',
          `Grant ${id} runs as long as role ${role.name} allows already: ${span(role.maxMinutes)}.`,
        )
      if (approvalsFor(role) === 0)
        return this.#lengthen(page, kept, grant, lengthened(grant, minutes, role, page.now), '')
      const [waiting] = await page.select("extends = $1 and state = 'requested'", [id])
      if (waiting !== undefined)
        throw new Refusal('TOO_MANY', `More time for grant ${id} is already asked for: request ${waiting.grant.id}.`)
      const { subject, username, endpoints } = grant
      return this.#enter(page, {
        id: await page.nextId(),
        subject,
        username,
        endpoints,
        target: grant.target,
        role: grant.role,
        proof: identity.proof,
        minutes,
        reason: reason ?? grant.reason,
        ...(grant.ticket === undefined ? {} : { ticket: grant.ticket }),
        requestedAt: page.now,
        extends: id,
        approvalsNeeded: approvalsFor(role),
        approvals: [],
        state: 'requested',
      })
    })
  }

  async #enter(page: Page, asked: RequestedGrant): Promise<Grant> {
    page.tell({
      kind: 'grant.requested',
      actor: asked.username,
      grant: asked.id,
      target: asked.target,
      text:
        asked.extends === undefined
          ? `${asked.username} asks for ${asked.role} on ${asked.target}: ${asked.reason}`
          : `${asked.username} asks for more time on grant ${asked.extends}: ${asked.reason}`,
      details: {
        subject: asked.subject,
        role: asked.role,
        endpoints: asked.endpoints,
        minutes: asked.minutes,
        reason: asked.reason,
        ...(asked.ticket === undefined ? {} : { ticket: asked.ticket }),
        proof: asked.proof,
        approvalsNeeded: asked.approvalsNeeded,
        ...(asked.extends === undefined ? {} : { extends: asked.extends }),
      },
    })
    const byRule = approveByRule(asked, page.now)
    const first = byRule === 'needs-people' ? asked : provision(byRule, page.now)
    if (!(await page.add(first))) throw new Refusal('TOO_MANY', 'You wait for the same thing already.')
    if (first.state === 'live') {
      page.tell({
        kind: 'grant.approved',
        actor: '',
        grant: asked.id,
        target: asked.target,
        text: `Request ${asked.id} was approved by the rule of role ${asked.role}.`,
        details: { rule: 'auto' },
      })
      tellLive(page, first)
    }
    return first
  }

  async #begin(page: Page, before: Kept, approved: ApprovedGrant): Promise<Grant> {
    const live = provision(approved, page.now)
    await page.put(before, live)
    tellLive(page, live)
    return live
  }

  /** The request stays `approved` for as long as the grant that it lengthened lasts. */
  async #lengthenBy(
    page: Page,
    identity: Identity,
    before: Kept,
    approved: ApprovedGrant & { readonly extends: GrantId },
    role: Role,
  ): Promise<Grant> {
    const parent = await page.find(approved.extends)
    if (parent === undefined) throw new Fault(`Request ${approved.id} lengthens a grant that is not there.`)
    if (!isLive(parent.grant, page.now)) throw conflict(parent.grant, page.now)
    await page.put(before, approved)
    const until = lengthened(parent.grant, approved.minutes, role, page.now)
    await this.#lengthen(page, parent, parent.grant, until, identity.username)
    return approved
  }

  async #lengthen(page: Page, kept: Kept, grant: LiveGrant, expiresAt: Moment, actor: string): Promise<LiveGrant> {
    const next = { ...grant, expiresAt }
    await page.put(kept, next)
    page.tell({
      kind: 'grant.extended',
      actor,
      grant: grant.id,
      target: grant.target,
      text: `Grant ${grant.id} of ${grant.username} now ends ${inWords(expiresAt)}.`,
      details: { before: grant.expiresAt, expiresAt },
    })
    return next
  }

  async #seen(page: Page, identity: Identity, id: GrantId): Promise<Kept> {
    const kept = await page.find(id)
    if (kept === undefined || !sees(this.#parts.policy(), identity, kept.grant)) throw notFound(id)
    return kept
  }

  async #waiting(page: Page, identity: Identity, id: GrantId): Promise<{ kept: Kept; grant: RequestedGrant }> {
    const kept = await this.#seen(page, identity, id)
    if (kept.grant.state !== 'requested') throw conflict(kept.grant, page.now)
    return { kept, grant: kept.grant }
  }

  #roleOf(grant: Grant): Role {
    const role = roleOf(this.#parts.policy(), grant)
    if (role === undefined)
      throw new Refusal('CONFLICT', `Role ${grant.role} on ${grant.target} does not exist any more.`)
    return role
  }

  async #refuseTooMany(page: Page, identity: Identity, target: string, role: string): Promise<void> {
    const { waiting, held } = this.#parts.limits
    const open = await page.select(
      "subject = $1 and state in ('requested', 'live') and extends is null and under is null",
      [identity.subject],
    )
    const asked = open.filter(({ grant }) => grant.state === 'requested')
    const same = asked.find(({ grant }) => grant.target === target && grant.role === role)
    if (same !== undefined)
      throw new Refusal('TOO_MANY', `You wait for ${role} on ${target} already: request ${same.grant.id}.`)
    if (asked.length >= waiting)
      throw new Refusal('TOO_MANY', `You have ${asked.length} requests waiting.`, { next: 'Withdraw some of them.' })
    if (open.length - asked.length >= held)
      throw new Refusal('TOO_MANY', `You hold ${open.length - asked.length} grants.`, { next: 'Release some of them.' })
  }
}

async function liveOf(page: Page, identity: Identity, { endpoints, role, target }: Choice): Promise<Grant | undefined> {
  const live = await page.select("subject = $1 and state = 'live' and target = $2 and role = $3", [
    identity.subject,
    target.name,
    role.name,
  ])
  return live
    .map(({ grant }) => grant)
    .find((grant) => isLive(grant, page.now) && endpoints.every((endpoint) => grant.endpoints.includes(endpoint)))
}

/** What an approver sends must take away. @throws {Refusal} BAD_INPUT. */
function refuseMore(grant: RequestedGrant, { minutes, endpoints, readOnly }: Cut): void {
  if (minutes !== undefined)
    minutesWithin(
      minutes,
      grant.minutes,
      `Request ${grant.id} asks for ${span(grant.minutes)}, and nobody can give more.`,
    )
  if (grant.extends !== undefined && (endpoints !== undefined || readOnly === true))
    throw new Refusal('BAD_INPUT', `Request ${grant.id} asks for more time only.`, {
      next: 'Shorten the time, or deny it.',
    })
  if (endpoints === undefined) return
  if (endpoints.length === 0 || !endpoints.every((endpoint) => grant.endpoints.includes(endpoint)))
    throw new Refusal('BAD_INPUT', `Request ${grant.id} asks for ${grant.endpoints.join(', ')}.`, {
      next: 'Choose one or more of these.',
    })
}

const subjectOf = ({ held, role }: Grant): string =>
  held === undefined ? `Role ${role}` : `${held.verb} under role ${role}`

/** Never beyond the role's most, counted from now; never less than it was. */
function lengthened(grant: LiveGrant, minutes: number, role: Role, now: Moment): Moment {
  const most = after(now, minutesToMs(role.maxMinutes))
  const wished = after(grant.expiresAt, minutesToMs(minutes))
  return Math.max(grant.expiresAt, Math.min(wished, most)) as Moment
}

function tellApproved(page: Page, identity: Identity, grant: RequestedGrant | ApprovedGrant): void {
  const approvals: readonly Approval[] = grant.approvals
  page.tell({
    kind: 'grant.approved',
    actor: identity.username,
    grant: grant.id,
    target: grant.target,
    text: `${identity.username} approved request ${grant.id} of ${grant.username}: ${approvals.length} of ${grant.approvalsNeeded}.`,
    details: {
      subject: identity.subject,
      minutes: grant.minutes,
      endpoints: grant.endpoints,
      ...(grant.readOnly === undefined ? {} : { readOnly: true }),
      proof: identity.proof,
      needed: grant.approvalsNeeded,
    },
  })
}

function tellLive(page: Page, grant: LiveGrant): void {
  page.tell({
    kind: 'grant.live',
    actor: '',
    grant: grant.id,
    target: grant.target,
    text: `Grant ${grant.id} of ${grant.username} is live until ${inWords(grant.expiresAt)}.`,
    details: {
      expiresAt: grant.expiresAt,
      role: grant.role,
      username: grant.username,
      endpoints: grant.endpoints,
      ...(grant.readOnly === undefined ? {} : { readOnly: true }),
    },
  })
}
