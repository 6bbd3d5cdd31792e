/** That a person was there just now and said so with a passkey: the proof that one session may be opened with. */
import type { Subject } from './identity.ts'
import type { Moment } from './moment.ts'

/** Time for what lies between the touch and the session: another look at the grant, a hand-over to another worker. */
const GOOD_FOR_MS = 60_000

type About = {
  readonly subject: Subject
  /** The one target that the person was asked about. */
  readonly target: string
  readonly credential: string
  readonly provenAt: Moment
}

/** Only {@link provenBy} makes one, and only identity/ calls it, after it has checked the signature. */
class PasskeyProof {
  readonly #about: About
  #isSpent = false

  constructor(about: About) {
    this.#about = about
  }

  /** Once: true for the person and the target it was made for, while it is fresh. */
  spend(subject: Subject, target: string, now: Moment): boolean {
    const { subject: who, target: where, provenAt } = this.#about
    const isGood = !this.#isSpent && who === subject && where === target && now - provenAt <= GOOD_FOR_MS
    this.#isSpent = true
    return isGood
  }
}
export type { PasskeyProof }

export const provenBy = (about: About): PasskeyProof => new PasskeyProof(about)
