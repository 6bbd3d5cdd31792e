/** What each person may see: targets, roles, requests, grants. */
import type { Grant, GrantId } from '../model/grant.ts'
import type { Identity } from '../model/identity.ts'
import { byPower } from '../model/power.ts'
import type { Role } from '../model/role.ts'
import type { GrantFilter, TargetView } from '../session/session.ts'
import type { Value } from '../state/state.ts'
import { approvedRoles, decides, isSamePerson, mayAsk, releasedRoles, sees, seesAll } from './authority.ts'
import type { Changes } from './changes.ts'
import type { Policy } from './policy.ts'
import { type Ledger, list } from './ledger.ts'
import { notFound } from './sentences.ts'

export type ListingsParts = {
  readonly ledger: Ledger
  readonly changes: Changes
  readonly policy: () => Policy
  /** Writes down what the clock has ended, so that no list shows it as live. */
  readonly lapse: () => Promise<void>
}

const USUAL = 100
const MOST = 1000
/** A change that was missed delays a waiting person no longer than this. */
const LOOK_AGAIN_MS = 2000

export class Listings {
  readonly #parts: ListingsParts

  constructor(parts: ListingsParts) {
    this.#parts = parts
  }

  async targets(identity: Identity): Promise<readonly TargetView[]> {
    const policy = this.#parts.policy()
    const open = await this.#open(identity)
    return policy.targets
      .map((target) => {
        const grants = open.filter((grant) => grant.target === target.name)
        const roles = policy.roles
          .filter((role) => mayAsk(identity, role, target) || grants.some((grant) => grant.role === role.name))
          .toSorted(byPower)
        return { target, roles, grants }
      })
      .filter(({ roles, grants }) => roles.length > 0 || grants.length > 0)
  }

  async roles(identity: Identity): Promise<readonly Role[]> {
    const policy = this.#parts.policy()
    const held = new Set((await this.#open(identity)).map(({ role }) => role))
    return policy.roles
      .filter((role) => held.has(role.name) || policy.targets.some((target) => mayAsk(identity, role, target)))
      .toSorted(byPower)
  }

  async requests(identity: Identity): Promise<readonly { readonly grant: Grant; readonly mayApprove: boolean }[]> {
    await this.#parts.lapse()
    const policy = this.#parts.policy()
    const { sql, params } = seen(policy, identity, 1)
    const waiting = await this.#parts.ledger.select(`state = 'requested' and (subject = $1${sql})`, [
      identity.subject,
      ...params,
    ])
    return waiting.map(({ grant }) => ({
      grant,
      mayApprove:
        decides(policy, identity, grant) &&
        !isSamePerson(identity, grant) &&
        !grant.approvals.some(({ subject }) => subject === identity.subject),
    }))
  }

  async grants(identity: Identity, filter: GrantFilter): Promise<readonly Grant[]> {
    await this.#parts.lapse()
    const policy = this.#parts.policy()
    const conditions = ['under is null']
    const params: Value[] = []
    const add = (value: Value): string => `$${params.push(value)}`
    const columns = {
      state: filter.state,
      username: filter.username,
      target: filter.target,
      end_reason: filter.endReason,
    }
    for (const [column, value] of Object.entries(columns))
      if (value !== undefined) conditions.push(`${column} = ${add(value)}`)
    if (!seesAll(policy, identity)) {
      const own = `subject = ${add(identity.subject)}`
      const others = seen(policy, identity, params.length)
      conditions.push(`(${own}${others.sql})`)
      params.push(...others.params)
    }
    const limit = Math.max(1, Math.min(MOST, Math.trunc(filter.limit ?? USUAL) || USUAL))
    const found = await this.#parts.ledger.select(conditions.join(' and '), params, limit)
    return found.map(({ grant }) => grant)
  }

  async grant(identity: Identity, id: GrantId): Promise<Grant> {
    await this.#parts.lapse()
    const kept = await this.#parts.ledger.find(id)
    if (kept === undefined || !sees(this.#parts.policy(), identity, kept.grant)) throw notFound(id)
    return kept.grant
  }

  async decided(id: GrantId, signal: AbortSignal): Promise<Grant> {
    for (;;) {
      signal.throwIfAborted()
      const changed = this.#changed(signal)
      await this.#parts.lapse()
      const kept = await this.#parts.ledger.find(id)
      if (kept === undefined) throw notFound(id)
      if (kept.grant.state !== 'requested') return kept.grant
      await changed
    }
  }

  /** Never rejects: the loop above asks the signal itself. */
  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        stop()
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, LOOK_AGAIN_MS)
      const stop = this.#parts.changes.on('grants-changed', done)
      signal.addEventListener('abort', done)
    })
  }

  /** Live and waiting ones of this person; not the statements that wait under them. */
  async #open(identity: Identity): Promise<readonly Grant[]> {
    await this.#parts.lapse()
    const found = await this.#parts.ledger.select("subject = $1 and state in ('requested', 'live') and under is null", [
      identity.subject,
    ])
    return found.map(({ grant }) => grant)
  }
}

/** Others' requests: for a role that this person approves, for a statement that they may let through. */
function seen(policy: Policy, identity: Identity, before: number): { readonly sql: string; readonly params: string[] } {
  const roles = approvedRoles(policy, identity)
  const released = releasedRoles(policy, identity)
  return {
    sql: orRole(roles, before, 'null') + orRole(released, before + roles.length, 'not null'),
    params: [...roles, ...released],
  }
}

const orRole = (roles: readonly string[], before: number, under: 'null' | 'not null'): string =>
  roles.length === 0 ? '' : ` or (under is ${under} and role in (${list(roles.length, before)}))`
