/** The only door into a session: no `Admission`, no upstream. */
import type { GrantId, LiveGrant } from '../model/grant.ts'
import type { Identity, Subject } from '../model/identity.ts'
import { type Clock, minutesToMs } from '../model/moment.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import { Refusal } from '../model/refusal.ts'
import { covers, opensTheSame, type Role, readOnly } from '../model/role.ts'
import type { Protocol, Target } from '../model/target.ts'
import { type GrantChoice, noGrantText } from '../model/target-name.ts'

/** What a person is told while a grant runs. `minutes` is what is left. */
export type GrantNotice =
  | { readonly kind: 'ending'; readonly minutes: 5 | 1; readonly grant: LiveGrant }
  | { readonly kind: 'extended'; readonly minutes: number; readonly grant: LiveGrant }

/** A live grant for as long as somebody looks at it. */
export type Tenure = {
  /** As it is now: `extend` changes `expiresAt`. */
  readonly grant: () => LiveGrant
  /** Aborts the moment the grant ends, its person is locked, or the state store is out of reach for too long. Its reason is a Refusal. */
  readonly ended: AbortSignal
  /** Returns the function that stops listening. */
  readonly onNotice: (listener: (notice: GrantNotice) => void) => () => void
}

/** What admission asks of the outside. grants/ fits. */
export type GrantBook = {
  /** The newest live grant of that person on that target for that endpoint; of the role, or with the number, that `under` names. */
  live(subject: Subject, target: string, endpoint: Protocol, under?: GrantChoice): Promise<Tenure | undefined>
}

export type AdmitParts = {
  readonly grants: GrantBook
  readonly target: (name: string) => Target | undefined
  readonly role: (name: string) => Role | undefined
  readonly clock: Clock
}

export type Wish = {
  readonly identity: Identity
  readonly target: string
  readonly protocol: Protocol
  /** Which of this person's grants there; left out: the newest. */
  readonly under?: GrantChoice | undefined
  /** For a role that asks for one per session. Used up by the admission. */
  readonly passkey?: PasskeyProof | undefined
}

/** Proof that a live grant was seen. Only {@link admit} makes one: the class stays in this file, and its private field keeps look-alikes out. */
class Admission {
  readonly #seal = true
  readonly #tenure: Tenure
  readonly #parts: AdmitParts
  /** As the configuration had them when it was looked at last, and then they opened the same. */
  #known: { readonly role: Role; readonly target: Target }
  readonly identity: Identity
  readonly target: Target
  readonly role: Role
  readonly protocol: Protocol

  constructor(parts: AdmitParts, wish: Wish, known: { readonly role: Role; readonly target: Target }, tenure: Tenure) {
    const { role, target } = known
    this.#parts = parts
    this.#known = known
    this.identity = wish.identity
    this.protocol = wish.protocol
    this.target = target
    this.role = tenure.grant().readOnly === true ? readOnly(role) : role
    this.#tenure = tenure
  }

  /** The grant as it is now. */
  get grant(): LiveGrant {
    return this.#tenure.grant()
  }

  /** Aborts the moment the grant ends; the reason is a {@link Refusal}. */
  get ended(): AbortSignal {
    return this.#tenure.ended
  }

  onNotice(listener: (notice: GrantNotice) => void): () => void {
    return this.#tenure.onNotice(listener)
  }

  /** Why nothing may be forwarded any more, or undefined. Looks at the wall clock and the configuration itself, so a late timer changes nothing. */
  over(): Refusal | undefined {
    const { ended } = this.#tenure
    if (ended.aborted)
      return ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The grant has ended.')
    const { expiresAt, id } = this.#tenure.grant()
    if (this.#parts.clock.now() >= expiresAt) return new Refusal('GRANT_ENDED', `Grant ${id} has expired.`)
    return this.#isAsAdmitted()
      ? undefined
      : new Refusal(
          'UNAVAILABLE',
          `The rules of role ${this.role.name} on ${this.target.name} have changed: connect again.`,
        )
  }

  /** The configuration can be read again at any time; what it takes away is gone for those who are in, too. */
  #isAsAdmitted(): boolean {
    const [role, target] = [this.#parts.role(this.role.name), this.#parts.target(this.target.name)]
    const known = this.#known
    if (role === known.role && target === known.target) return true
    if (role === undefined || target === undefined) return false
    const isSame =
      opensTheSame(known.role, role) &&
      covers(role, target) &&
      JSON.stringify(target[this.protocol]) === JSON.stringify(known.target[this.protocol])
    if (isSame) this.#known = { role, target }
    return isSame
  }

  static made(x: object): x is Admission {
    return #seal in x && x.#seal
  }
}
export type { Admission }
export const isAdmission = (x: object): x is Admission => Admission.made(x)

/** Says under which grant, so that whoever can ask the person for a touch asks for that one. */
export class PasskeyMissing extends Refusal {
  readonly grant: GrantId

  constructor({ id, role }: LiveGrant) {
    super('PASSKEY_MISSING', `Role ${role} asks for a passkey for each session.`, {
      next: 'Come by something that can wait while you touch it: ssh, sftp, scp, psql, or a page in a browser.',
    })
    this.grant = id
  }
}

/**
 * Looks for a live grant. An unknown target, a target without that endpoint and a target without a grant give one answer:
 * a stranger learns nothing from asking.
 *
 * @throws {Refusal} NO_GRANT, MFA_MISSING when the second factor is older than the role allows, or PASSKEY_MISSING.
 */
export async function admit(parts: AdmitParts, wish: Wish): Promise<Admission> {
  const { identity, target: name, protocol } = wish
  const tenure = await parts.grants.live(identity.subject, name, protocol, wish.under)
  const target = parts.target(name)
  const role = tenure === undefined ? undefined : parts.role(tenure.grant().role)
  const open =
    tenure !== undefined &&
    target?.[protocol] !== undefined &&
    role !== undefined &&
    role.endpoints.includes(protocol) &&
    tenure.grant().endpoints.includes(protocol) &&
    covers(role, target)
  if (!open) throw new Refusal('NO_GRANT', noGrantText(name, wish.under))
  const age = parts.clock.now() - identity.proof.authTime
  if (age > minutesToMs(role.mfaWithinMinutes))
    throw new Refusal(
      'MFA_MISSING',
      `Role ${role.name} asks for a sign-in of the last ${role.mfaWithinMinutes} minutes.`,
      {
        next: 'Sign in again.',
      },
    )
  const admission = new Admission(parts, wish, { role, target }, tenure)
  const over = admission.over()
  if (over !== undefined) throw over
  // Last, since it is good only once.
  if (role.stepUp === 'passkey') {
    const { grant } = admission
    const use = { subject: identity.subject, target: name, grant: grant.id }
    if (wish.passkey?.spend(use, parts.clock.now()) !== true) throw new PasskeyMissing(grant)
  }
  return admission
}
