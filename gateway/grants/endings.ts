/** How grants end: by their owner, by others, by the clock. Ended is final. */
import { type EndReason, end, type EndedGrant, type Grant, type GrantId, isLive } from '../model/grant.ts'
import { type Identity, type Subject, type Username, username as asUsername } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { RevokeScope } from '../session/session.ts'
import type { Statements } from '../state/state.ts'
import { approvedRoles, isAdmin, isOwn, mayEnd, sees, shown } from './authority.ts'
import type { Policy } from './policy.ts'
import { line } from './input.ts'
import type { Ledger, Page } from './ledger.ts'
import { dropLock, setLock } from './locks.ts'
import type { Kept } from './rows.ts'
import { conflict, endedSentence, notFound } from './sentences.ts'

/** What let this person in lets them in no more: they sign in anew once they may. Within the transaction. */
export type EndSignIns = (
  tx: Statements,
  who: { readonly subject: Subject | undefined; readonly username: Username },
) => Promise<void>

export type EndingsParts = {
  readonly ledger: Ledger
  readonly policy: () => Policy
  readonly endSignIns: EndSignIns
  readonly lapseAfterMs: number
}

type Ending = { readonly reason: EndReason; readonly at: Moment; readonly by?: Username; readonly note?: string }

/** Ends a grant, the requests that would have lengthened it, and the statements that wait under it. */
export async function endGrant(page: Page, before: Kept, ending: Ending): Promise<EndedGrant> {
  const { grant } = before
  if (grant.state === 'ended') throw conflict(grant, page.now)
  const next = end(grant, ending.reason, ending.at, { username: ending.by, note: ending.note ?? '' })
  await page.put(before, next)
  page.tell({
    kind: 'grant.ended',
    actor: ending.by ?? '',
    grant: grant.id,
    target: grant.target,
    text: endedSentence(next),
    details: { reason: next.endReason, note: next.endNote, username: grant.username, role: grant.role },
  })
  const linked = await page.select("(extends = $1 or under = $1) and state <> 'ended'", [grant.id])
  for (const kept of linked) {
    const reason = kept.grant.held === undefined ? ending.reason : 'withdrawn'
    await endGrant(page, kept, { ...ending, reason, note: `grant ${grant.id} is over` })
  }
  return next
}

export class Endings {
  readonly #parts: EndingsParts

  constructor(parts: EndingsParts) {
    this.#parts = parts
  }

  /** Writes down what the clock has ended already. Cheap when there is nothing. */
  async lapse(now: Moment): Promise<void> {
    const { ledger, lapseAfterMs } = this.#parts
    const due = "((state = 'live' and expires_at <= $1) or (state = 'requested' and requested_at <= $2))"
    const params = [now, after(now, -lapseAfterMs)]
    for (;;) {
      const found = await ledger.select(due, params, 100)
      if (found.length === 0) return
      await ledger.write(async (page) => {
        for (const { grant } of found) {
          const [still] = await page.select(`id = $3 and ${due}`, [...params, grant.id])
          if (still !== undefined)
            await endGrant(page, still, { reason: 'expired', at: overSince(still.grant, lapseAfterMs) })
        }
      })
      if (found.length < 100) return
    }
  }

  release(identity: Identity, id: GrantId): Promise<Grant> {
    return this.#parts.ledger.write(async (page) => {
      const before = await this.#seen(page, identity, id)
      if (!isOwn(identity, before.grant))
        throw new Refusal('NOT_ALLOWED', `Grant ${id} is not yours to release.`, { next: 'It can be revoked.' })
      if (!isLive(before.grant, page.now)) throw conflict(before.grant, page.now)
      return endGrant(page, before, { reason: 'released', at: page.now, by: identity.username })
    })
  }

  revoke(identity: Identity, scope: RevokeScope, note: string): Promise<readonly Grant[]> {
    const why = line(note, 'note', 0)
    return this.#parts.ledger.write(async (page) => {
      const chosen = await this.#inScope(page, identity, scope)
      const ended: Grant[] = []
      for (const before of chosen) {
        const asOwner = !mayEnd(this.#parts.policy(), identity, before.grant)
        const reason = asOwner ? 'released' : 'revoked'
        ended.push(await endGrant(page, before, { reason, at: page.now, by: identity.username, note: why }))
      }
      return ended
    })
  }

  async lock(identity: Identity, username: string, note: string): Promise<void> {
    const whom = this.#byAdmin(identity, username)
    if (whom === identity.username) throw new Refusal('BAD_INPUT', 'You cannot lock yourself.')
    const why = line(note, 'note', 0)
    await this.#parts.ledger.write(async (page) => {
      const [latest] = await page.tx.all<{ subject: Identity['subject'] }>(
        'select subject from grants where username = $1 order by number desc limit 1',
        [whom],
      )
      await setLock(page.tx, { username: whom, at: page.now, by: identity.username, note: why }, latest?.subject)
      await this.#parts.endSignIns(page.tx, { username: whom, subject: latest?.subject })
      page.touch('grants-changed')
      page.tell({
        kind: 'identity.locked',
        actor: identity.username,
        text: `${whom} was locked by ${identity.username}.`,
        details: { username: whom, note: why },
      })
      const open =
        "state in ('requested', 'live') and extends is null and under is null and (username = $1 or subject = $2)"
      for (const before of await page.select(open, [whom, latest?.subject ?? '']))
        await endGrant(page, before, { reason: 'revoked', at: page.now, by: identity.username, note: why || 'locked' })
    })
  }

  async unlock(identity: Identity, username: string): Promise<void> {
    const whom = this.#byAdmin(identity, username)
    await this.#parts.ledger.write(async (page) => {
      const held = await dropLock(page.tx, whom)
      if (held === undefined) throw new Refusal('NOT_FOUND', `${whom} is not locked.`)
      // A sign-in that was on its way when the lock came may have been written after it.
      await this.#parts.endSignIns(page.tx, { username: whom, subject: held.subject })
      page.touch('grants-changed')
      page.tell({
        kind: 'identity.unlocked',
        actor: identity.username,
        text: `${whom} was unlocked by ${identity.username}.`,
        details: { username: whom },
      })
    })
  }

  #byAdmin(identity: Identity, username: string): Username {
    if (!isAdmin(this.#parts.policy(), identity))
      throw new Refusal('NOT_ALLOWED', 'Only administrators lock and unlock people.')
    const whom = asUsername(username)
    if (whom === undefined) throw new Refusal('BAD_INPUT', 'That is not a user name.')
    return whom
  }

  async #seen(page: Page, identity: Identity, id: GrantId): Promise<Kept> {
    const kept = await page.find(id)
    if (kept === undefined || !sees(this.#parts.policy(), identity, kept.grant)) throw notFound(id)
    return kept
  }

  async #inScope(page: Page, identity: Identity, scope: RevokeScope): Promise<readonly Kept[]> {
    const policy = this.#parts.policy()
    const mayBeEnded = ({ grant }: Kept) => isOwn(identity, grant) || mayEnd(policy, identity, grant)
    if ('grant' in scope) {
      const before = await this.#seen(page, identity, scope.grant)
      if (!mayBeEnded(before)) throw new Refusal('NOT_ALLOWED', `Grant ${scope.grant} is for others to revoke.`)
      if (!isLive(before.grant, page.now)) throw conflict(before.grant, page.now)
      return [before]
    }
    const [column, name] = 'person' in scope ? ['username', scope.person] : ['target', scope.target]
    const live = await page.select(`state = 'live' and ${column} = $1`, [name])
    const chosen = live.filter(mayBeEnded)
    const stranger = !isAdmin(policy, identity) && approvedRoles(policy, identity).length === 0
    if (chosen.length === 0 && stranger)
      throw new Refusal('NOT_ALLOWED', `There is nothing of ${shown(name, 'that name')} that you may revoke.`)
    return chosen
  }
}

function overSince(grant: Grant, lapseAfterMs: number): Moment {
  return grant.state === 'live' ? grant.expiresAt : after(grant.requestedAt, lapseAfterMs)
}
