/**
 * Three kinds of "no", and no fourth: a Refusal (the answer is no), a Fault (we broke),
 * a MalformedMessage (the peer broke the protocol).
 */
import type { Moment } from './moment.ts'

/** Every "no" the gateway can say, one row each. Terminators turn a row into their own wire's words. */
const refusals = {
  NOT_SIGNED_IN: { sqlstate: '28000', status: 401 },
  WRONG_TOKEN: { sqlstate: '28P01', status: 401 },
  MFA_MISSING: { sqlstate: '28000', status: 401 },
  /** The role asks for a passkey for each session, and none was shown for this one. */
  PASSKEY_MISSING: { sqlstate: '28000', status: 401 },
  LOCKED: { sqlstate: '28000', status: 403 },
  /** One answer for "no such target", "no such role there" and "no grant for it". */
  NO_GRANT: { sqlstate: '28000', status: 403 },
  GRANT_ENDED: { sqlstate: '57P01', status: 403 },
  NOT_ALLOWED: { sqlstate: '42501', status: 403 },
  READ_ONLY: { sqlstate: '25006', status: 403 },
  SELF_APPROVAL: { sqlstate: '42501', status: 403 },
  /** The thing asked about is not there, or not for this person: one answer for both. */
  NOT_FOUND: { sqlstate: '42704', status: 404 },
  /** Somebody was faster, or the state does not permit the step any more. */
  CONFLICT: { sqlstate: '55000', status: 409 },
  BAD_INPUT: { sqlstate: '22023', status: 400 },
  TOO_MANY: { sqlstate: '53300', status: 429 },
  IDLE: { sqlstate: '57P05', status: 408 },
  TARGET_UNREACHABLE: { sqlstate: '08006', status: 502 },
  /** What cannot be recorded does not run. */
  NOT_RECORDED: { sqlstate: '58030', status: 503 },
  UNAVAILABLE: { sqlstate: '57P03', status: 503 },
} as const satisfies Record<string, { readonly sqlstate: string; readonly status: number }>

export type RefusalCode = keyof typeof refusals

/** A person was not let through, which auditors want to know; that a target was out of reach is another thing. */
export const TURNED_AWAY: ReadonlySet<RefusalCode> = new Set([
  'NO_GRANT',
  'MFA_MISSING',
  'PASSKEY_MISSING',
  'NOT_ALLOWED',
  'LOCKED',
  'NOT_SIGNED_IN',
])

/** The answer is no, and the person may know why. `message` is a sentence for that person; `next` says what they can do now. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  readonly next: string | undefined
  /** When what it tells of happened: the moment a grant was ended. */
  readonly since: Moment | undefined
  constructor(
    code: RefusalCode,
    message: string,
    options?: ErrorOptions & { readonly next?: string; readonly since?: Moment },
  ) {
    super(message, options)
    this.code = code
    this.next = options?.next
    this.since = options?.since
  }
  get wire(): { readonly sqlstate: string; readonly status: number } {
    return refusals[this.code]
  }
}

/** We broke. The person sees `reference`, the log keeps the cause under the same number. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly reference: string
  constructor(message: string, options?: ErrorOptions & { readonly reference?: string }) {
    super(message, options)
    this.reference = options?.reference ?? crypto.randomUUID().slice(0, 8)
  }
}

/** The peer broke the protocol. Its connection cannot be read any further. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage'
}
