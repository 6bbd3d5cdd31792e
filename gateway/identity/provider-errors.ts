/** What the provider's libraries throw, as a Refusal. The sentence is for the person; the cause is for operators and auditors. */
import { AuthorizationResponseError, ClientError } from 'openid-client'
import { Refusal } from '../model/refusal.ts'

export function refusalOf(cause: unknown): Refusal {
  if (cause instanceof Refusal) return cause
  if (isAbsence(cause))
    return new Refusal('UNAVAILABLE', 'The sign-in provider did not answer.', { cause, next: 'Sign in again.' })
  if (cause instanceof AuthorizationResponseError)
    return new Refusal('NOT_SIGNED_IN', 'The sign-in provider said no.', { cause, next: 'Sign in again.' })
  return new Refusal('NOT_SIGNED_IN', 'The answer of the sign-in provider did not check out.', {
    cause,
    next: 'Sign in again.',
  })
}

/** The network, a timeout or a server error, rather than a wrong answer. */
function isAbsence(cause: unknown): boolean {
  if (cause instanceof TypeError) return cause.cause instanceof Error
  if (!(cause instanceof ClientError)) return false
  const answer = cause.cause
  return cause.code === 'OAUTH_TIMEOUT' || (answer instanceof Response && answer.status >= 500)
}

/** One line that says what was wrong: codes and messages of the libraries, nothing of the tokens themselves. */
export function reasonOf(error: unknown): string {
  const parts: string[] = []
  for (let at: unknown = error; at instanceof Error && parts.length < 4; at = at.cause) {
    if (at instanceof Refusal) continue
    const { code, error: oauth } = at as { readonly code?: unknown; readonly error?: unknown }
    parts.push([oauth, code, at.message].filter((part) => typeof part === 'string').join(' '))
  }
  return parts.join(': ').slice(0, 300)
}
