/** The counter where people ask: each deed is checked for a lock, and each "no" to somebody who signed in is an event. */
import type { Audit } from '../model/event.ts'
import type { GrantId } from '../model/grant.ts'
import type { Identity } from '../model/identity.ts'
import type { Clock } from '../model/moment.ts'
import { Refusal, type RefusalCode } from '../model/refusal.ts'
import type { AccessDesk } from '../session/session.ts'
import type { State } from '../state/state.ts'
import { isAdmin, isAuditor, seesAll, shown } from './authority.ts'
import { type Changes, coalesce } from './changes.ts'
import type { Endings } from './endings.ts'
import type { Policy } from './policy.ts'
import type { Listings } from './listings.ts'
import { refuseLocked, allLocks } from './locks.ts'
import { eventOf } from './outbox.ts'
import type { Requests } from './requests.ts'
import type { Sessions } from './session-book.ts'

export type DeskParts = {
  readonly rooms: {
    readonly requests: Requests
    readonly endings: Endings
    readonly listings: Listings
    readonly sessions: Sessions
  }
  readonly store: { readonly state: State; readonly changes: Changes }
  readonly clock: Clock
  readonly audit: Audit
  readonly policy: () => Policy
}

/** Mistakes in typing and lost races are nobody's business. */
const TELLING: ReadonlySet<RefusalCode> = new Set([
  'NO_GRANT',
  'NOT_ALLOWED',
  'NOT_FOUND',
  'SELF_APPROVAL',
  'LOCKED',
  'TOO_MANY',
])
const COALESCE_MS = 100

export function createDesk(parts: DeskParts): AccessDesk {
  const { requests, endings, listings, sessions } = parts.rooms
  const { clock, audit, policy } = parts

  async function deed<T>(
    identity: Identity,
    what: { readonly name: string; readonly grant?: GrantId; readonly about?: string | undefined },
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      await refuseLocked(parts.store.state, identity)
      await endings.lapse(clock.now())
      return await work()
    } catch (error) {
      if (error instanceof Refusal && TELLING.has(error.code)) {
        const about = shown(what.about ?? what.grant ?? '', '')
        audit(
          eventOf(
            {
              kind: 'grant.refused',
              actor: identity.username,
              target: about,
              text: `${identity.username} may not ${what.name}: ${error.message}`,
              details: { deed: what.name, code: error.code, about, subject: identity.subject },
            },
            clock,
          ),
        )
      }
      throw error
    }
  }

  const locks = async (identity: Identity) => {
    if (!isAdmin(policy(), identity)) throw new Refusal('NOT_ALLOWED', 'Only administrators see who is locked out.')
    return await allLocks(parts.store.state)
  }

  return {
    targets: (identity) => listings.targets(identity),
    roles: (identity) => listings.roles(identity),
    requests: (identity) => listings.requests(identity),
    grants: (identity, filter) => listings.grants(identity, filter),
    grant: (identity, id) => listings.grant(identity, id),
    decided: (id, signal) => listings.decided(id, signal),
    request: (identity, ask) =>
      deed(identity, { name: 'request', about: ask.target }, () => requests.request(identity, ask)),
    approve: (identity, id, cut) =>
      deed(identity, { name: 'approve', grant: id }, () => requests.approve(identity, id, cut)),
    deny: (identity, id, why) => deed(identity, { name: 'deny', grant: id }, () => requests.deny(identity, id, why)),
    withdraw: (identity, id) => deed(identity, { name: 'withdraw', grant: id }, () => requests.withdraw(identity, id)),
    extend: (identity, id, how) =>
      deed(identity, { name: 'extend', grant: id }, () => requests.extend(identity, id, how)),
    release: (identity, id) => deed(identity, { name: 'release', grant: id }, () => endings.release(identity, id)),
    revoke: (identity, scope, note) =>
      deed(identity, { name: 'revoke', about: Object.values(scope)[0] }, () => endings.revoke(identity, scope, note)),
    lock: (identity, username, note) =>
      deed(identity, { name: 'lock', about: username }, () => endings.lock(identity, username, note)),
    unlock: (identity, username) =>
      deed(identity, { name: 'unlock', about: username }, () => endings.unlock(identity, username)),
    locks: (identity) => deed(identity, { name: 'see locks', about: '' }, () => locks(identity)),
    kill: (identity, id, note) => deed(identity, { name: 'kill', about: id }, () => sessions.kill(identity, id, note)),
    liveSessions: (identity) => sessions.list(identity),
    onChange: (listener) => {
      const calls = coalesce(listener, COALESCE_MS)
      const { changes } = parts.store
      const stops = [changes.on('grants-changed', calls.call), changes.on('sessions-changed', calls.call), calls.stop]
      return () => {
        for (const stop of stops) stop()
      }
    },
    isAuditor: (identity) => isAuditor(policy(), identity),
    isAdmin: (identity) => isAdmin(policy(), identity),
    maySeeSession: (identity, owner) => identity.username === owner || seesAll(policy(), identity),
  }
}
