/** What an ID token says about a person, in the words of the model. */
import type { Proof, Subject, Username } from '../model/identity.ts'
import { username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { ProviderSettings } from './parts.ts'

export type Claims = {
  readonly subject: Subject
  readonly username: Username
  readonly groups: readonly string[]
  /** Undefined without `auth_time`. */
  readonly proof: Proof | undefined
  /** The provider's own session, for its back-channel logout. */
  readonly providerSession: string | undefined
}

type Raw = Readonly<Record<string, unknown>>

const MOST_GROUPS = 500
const MOST_LENGTH = 256

/**
 * The proof comes from the signed ID token alone; user name and groups may come from userinfo (`more`) when the token lacks them.
 * @throws {Refusal} NOT_SIGNED_IN when there is no user name that every wire can carry.
 */
export function claimsOf(
  idToken: Raw,
  more: Raw,
  settings: Pick<ProviderSettings, 'username_claim' | 'groups_claim'>,
): Claims {
  const all: Raw = { ...more, ...idToken }
  const authTime = idToken['auth_time']
  return {
    subject: subjectOf(String(idToken['iss']), String(idToken['sub'])),
    username: usernameOf(all, settings.username_claim),
    groups: strings(all[settings.groups_claim]),
    proof:
      typeof authTime === 'number' && Number.isSafeInteger(authTime * 1000)
        ? { acr: line(idToken['acr']), amr: strings(idToken['amr']), authTime: (authTime * 1000) as Moment }
        : undefined,
    providerSession: line(idToken['sid']),
  }
}

export const subjectOf = (issuer: string, sub: string): Subject => `${issuer}|${sub}` as Subject

function usernameOf(all: Raw, claim: string): Username {
  // Anybody can claim an address that nobody checked.
  const isUnchecked = claim === 'email' && all['email_verified'] !== true
  const name = username((line(all[claim]) ?? '').toLowerCase())
  if (name === undefined || isUnchecked)
    throw new Refusal('NOT_SIGNED_IN', 'The sign-in provider gives you no user name that can be used here.', {
      next: `Ask an administrator: the claim ${claim} must hold one.`,
      cause: new Error(isUnchecked ? 'email is not verified' : `claim ${claim} is absent or not a user name`),
    })
  return name
}

const line = (value: unknown): string | undefined =>
  typeof value === 'string' && value.length <= MOST_LENGTH ? value : undefined

function strings(value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : typeof value === 'string' ? [value] : []
  return list.filter((item) => line(item) !== undefined).slice(0, MOST_GROUPS) as readonly string[]
}
