/** Statements that wait for a second person: requests of their own kind under a live grant, each used at most once. */
import {
  approve,
  type Cut,
  type Grant,
  type GrantId,
  isLive,
  type LiveGrant,
  type RequestedGrant,
} from '../model/grant.ts'
import type { HeldStatement } from '../model/hold.ts'
import type { Identity, Username } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import { Refusal } from '../model/refusal.ts'
import type { Role } from '../model/role.ts'
import { roleOf } from './authority.ts'
import { endGrant } from './endings.ts'
import type { Ledger, Page } from './ledger.ts'
import { parted, refuseLocked } from './locks.ts'
import type { Policy } from './policy.ts'
import type { Kept } from './rows.ts'
import { conflict, notFound } from './sentences.ts'

export type HoldsParts = { readonly ledger: Ledger; readonly policy: () => Policy; readonly log: Log }

/** Of one person. */
const MOST_WAITING = 10
/** What a second person could still read. */
const MOST_CHARACTERS = 256 * 1024

export class Holds {
  readonly #parts: HoldsParts

  constructor(parts: HoldsParts) {
    this.#parts = parts
  }

  park(under: LiveGrant, held: HeldStatement): Promise<Grant> {
    if (JSON.stringify(held).length > MOST_CHARACTERS)
      throw new Refusal('BAD_INPUT', 'This is too long for a second person to read.')
    return this.#parts.ledger.write(async (page) => {
      await refuseLocked(page.tx, under)
      const parent = await this.#parent(page, held)
      if (parent.subject !== under.subject) throw notFound(held.under)
      const hold = roleOf(this.#parts.policy(), parent)?.hold
      if (hold === undefined || parent.readOnly === true)
        throw new Refusal('NOT_ALLOWED', `Role ${parent.role} lets nothing wait.`)
      const waiting = await page.select("subject = $1 and state = 'requested' and under is not null", [parent.subject])
      if (waiting.length >= MOST_WAITING)
        throw new Refusal('TOO_MANY', `${waiting.length} statements of yours wait already.`, {
          next: 'Take some of them back.',
        })
      const { subject, username, target, role, proof, reason, ticket } = parent
      const asked: RequestedGrant = {
        id: await page.nextId(),
        subject,
        username,
        target,
        role,
        proof,
        reason,
        held,
        ...(ticket === undefined ? {} : { ticket }),
        endpoints: [],
        minutes: 0,
        requestedAt: page.now,
        approvalsNeeded: hold.people,
        approvals: [],
        state: 'requested',
      }
      if (!(await page.add(asked))) throw new Refusal('CONFLICT', 'The statement could not be parked.')
      page.tell({
        kind: 'grant.requested',
        actor: username,
        grant: asked.id,
        session: held.session,
        target,
        text: `${username} asks a second person to let ${held.verb} run once on ${target}.`,
        details: { ...held, subject, role, approvalsNeeded: hold.people },
      })
      return asked
    })
  }

  use(id: GrantId, digest: string): Promise<readonly Username[]> {
    return this.#parts.ledger.write(async (page) => {
      const kept = await page.find(id)
      if (kept?.grant.held === undefined) throw notFound(id)
      const { grant } = kept
      if (grant.state !== 'approved') throw conflict(grant, page.now)
      await refuseLocked(page.tx, grant)
      const [locked] = (await parted(page.tx, grant.approvals)).locked
      if (locked !== undefined)
        throw new Refusal('NOT_ALLOWED', `${locked.by}, who approved request ${id}, is locked out by now.`, {
          next: 'Ask again.',
        })
      await this.#parent(page, kept.grant.held)
      if (kept.grant.held.digest !== digest)
        throw new Refusal('CONFLICT', `Request ${id} was approved for another statement.`)
      await endGrant(page, kept, { reason: 'released', at: page.now, by: grant.username })
      return grant.approvals.map(({ by }) => by)
    })
  }

  async leave(id: GrantId, why: string): Promise<void> {
    await this.#quietly('A statement still waits that nobody waits for.', async (page) => {
      const kept = await page.find(id)
      if (kept?.grant.held === undefined || kept.grant.state === 'ended') return
      await endGrant(page, kept, { reason: 'withdrawn', at: page.now, by: kept.grant.username, note: why })
    })
  }

  async ran(id: GrantId, outcome: string): Promise<void> {
    await this.#quietly('What became of a statement was not written down.', async (page) => {
      const grant = (await page.find(id))?.grant
      if (grant?.held === undefined) return
      const by = grant.approvals.map((approval) => approval.by).join(', ')
      page.tell({
        kind: 'grant.ran',
        actor: grant.username,
        grant: id,
        session: grant.held.session,
        target: grant.target,
        text: `${grant.held.verb} of ${grant.username}, let through by ${by}: ${outcome}.`,
        details: { by: grant.approvals.map((approval) => approval.by), outcome, digest: grant.held.digest },
      })
    })
  }

  /** Ends those whose session is gone: a crash took it, and nobody else may use what it asked for. */
  async sweep(): Promise<void> {
    const { ledger } = this.#parts
    const orphans = "under is not null and state in ('requested', 'approved')"
    if ((await ledger.select(orphans, [], 1)).length === 0) return
    await ledger.write(async (page) => {
      const live = new Set((await page.tx.all<{ id: string }>('select id from live_sessions')).map(({ id }) => id))
      for (const kept of await page.select(orphans, []))
        if (kept.grant.held !== undefined && !live.has(kept.grant.held.session))
          await endGrant(page, kept, { reason: 'withdrawn', at: page.now, note: 'its session is over' })
    })
  }

  async #parent(page: Page, held: HeldStatement): Promise<LiveGrant> {
    const parent = (await page.find(held.under))?.grant
    if (parent === undefined) throw notFound(held.under)
    if (!isLive(parent, page.now)) throw new Refusal('GRANT_ENDED', `Grant ${held.under} is over.`)
    return parent
  }

  async #quietly(message: string, work: (page: Page) => Promise<void>): Promise<void> {
    await this.#parts.ledger
      .write(work)
      .catch((error: unknown) => this.#parts.log({ level: 'warn', room: 'grants', message, error }))
  }
}

/** One more yes to a held statement; the session that waits sees when there are enough. */
export async function letThrough(page: Page, identity: Identity, kept: Kept, asked: Asked): Promise<Grant> {
  const { cut, grant, role } = asked
  if (cut.minutes !== undefined || cut.endpoints !== undefined || cut.readOnly === true)
    throw new Refusal('BAD_INPUT', 'A statement runs once, as it is: there is nothing to take away.')
  const parent = await page.find(grant.held.under)
  if (parent === undefined || !isLive(parent.grant, page.now))
    throw new Refusal('CONFLICT', `Grant ${grant.held.under} is over: the statement cannot run any more.`)
  const needed = Math.max(grant.approvalsNeeded, role.hold?.people ?? 1)
  const next = approve({ ...grant, approvalsNeeded: needed }, identity, page.now, {})
  if (next === 'self-approval') throw new Refusal('SELF_APPROVAL', 'Nobody approves their own request.')
  if (next === 'approved-before') throw new Refusal('CONFLICT', `You have approved request ${grant.id} already.`)
  await page.put(kept, next)
  page.tell({
    kind: 'grant.approved',
    actor: identity.username,
    grant: grant.id,
    session: grant.held.session,
    target: grant.target,
    text: `${identity.username} let ${grant.held.verb} of ${grant.username} run once on ${grant.target}: ${next.approvals.length} of ${needed}.`,
    details: { subject: identity.subject, proof: identity.proof, needed, digest: grant.held.digest },
  })
  return next
}

type Asked = {
  readonly grant: RequestedGrant & { readonly held: HeldStatement }
  readonly role: Role
  readonly cut: Cut
}
