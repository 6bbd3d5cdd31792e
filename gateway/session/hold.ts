/** A statement that waits for a second person, from the session's side: park it, wait, and use the approval at most once. */
import type { Grant, GrantId, LiveGrant } from '../model/grant.ts'
import type { HeldStatement } from '../model/hold.ts'
import type { Username } from '../model/identity.ts'
import { Refusal } from '../model/refusal.ts'

/** What a session asks of whoever keeps requests. grants/ fits. */
export type HoldDesk = {
  /** @throws {Refusal} GRANT_ENDED, TOO_MANY, NOT_ALLOWED when the role holds nothing. */
  park(under: LiveGrant, held: HeldStatement): Promise<Grant>
  /** Resolves with the request once it has left `requested`. */
  decided(id: GrantId, signal: AbortSignal): Promise<Grant>
  /**
   * Compare-and-set: of all who try, one gets the approval, and nobody gets it again.
   *
   * @returns who approved. @throws {Refusal} CONFLICT, GRANT_ENDED, LOCKED; nothing may run then.
   */
  use(id: GrantId, digest: string): Promise<readonly Username[]>
  /** Nobody waits any more. What was decided already stays as it is. Never throws. */
  leave(id: GrantId, why: string): Promise<void>
  /** What became of the statement, for those who let it through. Never throws. */
  ran(id: GrantId, outcome: string): Promise<void>
}

/** Proof that a second person let exactly these bytes run, this once. Only {@link secondPerson} makes one. */
class Permit {
  readonly #seal = true
  readonly request: GrantId
  readonly by: readonly Username[]
  readonly digest: string

  constructor(request: GrantId, by: readonly Username[], digest: string) {
    this.request = request
    this.by = by
    this.digest = digest
  }

  static made(x: object): x is Permit {
    return #seal in x && x.#seal
  }
}
export type { Permit }
export const isPermit = (x: object): x is Permit => Permit.made(x)

export type Waiting = {
  readonly desk: HoldDesk
  readonly grant: LiveGrant
  readonly held: HeldStatement
  /** Shows the person a line. */
  readonly tell: (text: string) => void
  /** Aborts when the person takes it back, when they have left, or when the session ends; the reason is what they are told. */
  readonly stop: AbortSignal
}

/** Keeps the connection awake, and the person informed. */
const REPEAT_MS = 25_000

/** @throws {Refusal} when it may not run after all: denied, taken back, the grant is over, somebody changed something. */
export async function secondPerson({ desk, grant, held, tell, stop }: Waiting): Promise<Permit> {
  stop.throwIfAborted()
  const request = await desk.park(grant, held)
  const say = () => tell(`${held.verb} waits for a second person (request ${request.id})… Ctrl-C takes it back.`)
  say()
  const repeat = setInterval(say, REPEAT_MS)
  try {
    const decided = await desk.decided(request.id, stop)
    if (decided.state === 'ended') throw notAllowed(decided)
    stop.throwIfAborted()
    return new Permit(request.id, await desk.use(request.id, held.digest), held.digest)
  } catch (failure) {
    await desk.leave(request.id, stop.aborted ? 'nobody waits for it any more' : '')
    throw failure
  } finally {
    clearInterval(repeat)
  }
}

function notAllowed({ id, ...grant }: Grant & { readonly state: 'ended' }): Refusal {
  const by = grant.endedBy === undefined ? '' : ` by ${grant.endedBy}`
  const note = grant.endNote === '' ? '.' : `: ${grant.endNote}`
  if (grant.endReason === 'denied') return new Refusal('NOT_ALLOWED', `Request ${id} was denied${by}${note}`)
  if (grant.endReason === 'expired') return new Refusal('NOT_ALLOWED', `Nobody decided request ${id} in time.`)
  return new Refusal('NOT_ALLOWED', `Request ${id} was withdrawn${by}${note}`)
}
