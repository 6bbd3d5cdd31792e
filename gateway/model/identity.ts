/** Who signed in, and what the identity provider said about how. */
import type { Brand } from './brand.ts'
import type { Moment } from './moment.ts'

/** `issuer|sub` of OpenID Connect: the only key of a person. User names can be given to somebody else, this cannot. */
export type Subject = Brand<string, 'Subject'>

/** What people type: `alice` in `ssh alice@gateway`. Unique among the identities of one gateway. */
export type Username = Brand<string, 'Username'>

/** How the sign-in was done, in the words of OpenID Connect Core §2. */
export type Proof = {
  readonly acr: string | undefined
  readonly amr: readonly string[]
  readonly authTime: Moment
}

export type Identity = {
  readonly subject: Subject
  readonly username: Username
  readonly groups: readonly string[]
  /** The provider's name in the config. */
  readonly provider: string
  readonly proof: Proof
}

/** What a person may be called on any wire: nothing here needs quoting anywhere. */
const USERNAME = /^[a-z0-9][a-z0-9._@+-]{0,63}$/

export function username(text: string): Username | undefined {
  return USERNAME.test(text) ? (text as Username) : undefined
}

export const isMember = (identity: Identity, groups: readonly string[]): boolean =>
  groups.some((group) => identity.groups.includes(group))

/** A TLS client certificate as it was shown. Whoever showed it holds its key; nothing else in it is believed while there is a `fault`. */
export type ShownCertificate = {
  /** OpenSSL's word for why it does not verify against the CA for machines (`CERT_HAS_EXPIRED`…); undefined: it does. */
  readonly fault: string | undefined
  readonly commonName: string | undefined
  /** Names of the subject: `DNS:…` and `URI:…`. */
  readonly alternatives: readonly string[]
  /** Object ids of its extended key usage. */
  readonly usages: readonly string[]
  readonly expiresAt: Moment
  readonly fingerprint256: string
}
