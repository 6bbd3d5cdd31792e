/** Is this proof good enough? No library judges `acr` and `amr`; we do, per provider. */
import type { Proof } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'

/** Clocks of provider and gateway may differ by this much. */
const SKEW_MS = 60_000

export type Assurance = {
  readonly acr: readonly string[]
  readonly amr: readonly string[]
  /** How old the sign-in may be. */
  readonly maxAgeMs: number
}

/** Why the proof does not show a recent second factor, for operators and auditors; undefined when it does. */
export function mfaReason(proof: Proof | undefined, wanted: Assurance, now: Moment): string | undefined {
  if (proof === undefined) return 'auth_time is absent'
  if (proof.authTime > now + SKEW_MS) return 'auth_time is in the future'
  if (now - proof.authTime > wanted.maxAgeMs + SKEW_MS)
    return `signed in ${Math.round((now - proof.authTime) / 1000)} s ago`
  const byClass = proof.acr !== undefined && wanted.acr.includes(proof.acr)
  const byMethod = proof.amr.some((method) => wanted.amr.includes(method))
  if (byClass || byMethod) return undefined
  return `acr ${proof.acr ?? 'absent'} and amr [${proof.amr.join(' ')}] do not show a second factor`
}
