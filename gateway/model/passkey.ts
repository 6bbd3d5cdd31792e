/** That a person was there and said so with a passkey: the proof that one session may be opened with. */
import type { GrantId } from './grant.ts'
import type { Subject } from './identity.ts'
import type { Moment } from './moment.ts'

/** Time for what lies between the touch and the session: another look at the grant, a hand-over to another worker. */
const GOOD_FOR_MS = 60_000

type About = {
  readonly subject: Subject
  /** The one target that the person was asked about. */
  readonly target: string
  /** Of a visit to a web target: the one grant that it was touched for. Left out: whichever opens the session. */
  readonly grant?: GrantId
  readonly credential: string
  /** When the touch was; of a visit, when it was last seen to stand. */
  readonly provenAt: Moment
}

/** Only {@link provenBy} makes one, and only identity/ calls it, after it has checked the signature. */
class PasskeyProof {
  readonly #about: About
  #isSpent = false

  constructor(about: About) {
    this.#about = about
  }

  /** Once: true for the person and the target it was made for, while it is fresh; of a visit, under its grant alone. */
  spend(use: { readonly subject: Subject; readonly target: string; readonly grant: GrantId }, now: Moment): boolean {
    const { subject, target, grant = use.grant, provenAt } = this.#about
    const isFor = use.subject === subject && use.target === target && use.grant === grant
    const isGood = !this.#isSpent && isFor && now - provenAt <= GOOD_FOR_MS
    this.#isSpent = true
    return isGood
  }
}
export type { PasskeyProof }

export const provenBy = (about: About): PasskeyProof => new PasskeyProof(about)
