/** What identity is made of: the types of the parts and settings that `gateway.ts` hands in. */
import type { Audit } from '../model/event.ts'
import type { Subject, Username } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import type { SecretRef } from '../model/target.ts'
import type { State } from '../state/state.ts'

/** One OpenID provider, in the words of the config. */
export type ProviderSettings = {
  readonly name: string
  /** For the chooser; the name when left out. */
  readonly title?: string | undefined
  readonly issuer: string
  readonly client_id: string
  /** Left out: a public client, which PKCE alone protects. */
  readonly client_secret?: SecretRef | undefined
  readonly scopes: readonly string[]
  readonly username_claim: string
  readonly groups_claim: string
  /** What proves a second factor here: one of these `acr`, or one of these `amr`. The `acr` are also asked for. */
  readonly mfa: { readonly acr: readonly string[]; readonly amr: readonly string[] }
  /** Plain http towards the provider: whoever is on the way can become anybody. For a development provider on loopback only. */
  readonly insecure_http: boolean
}

/** One machine, and what its certificate names it. */
export type MachineSettings = {
  readonly name: string
  readonly groups: readonly string[]
  readonly certificate: { readonly kind: 'uri' | 'dns' | 'common-name'; readonly value: string }
}

export type IdentitySettings = {
  /** `https://gateway.example`, as people type it. Every redirect goes here, whatever a Host header says. */
  readonly publicUrl: string
  readonly providers: readonly ProviderSettings[]
  /** How long a key stands for its person after a sign-in. At most {@link MOST_KEY_MS}. */
  readonly keyBoundForMs: number
  /** How fresh a sign-in must be to approve an ssh or psql login. */
  readonly approvalWithinMs: number
  /** Lets a browser approve a login that comes from another IP address: gives up the best defence against approving somebody else's. */
  readonly allowOtherAddress: boolean
  /** How long ssh and psql wait for the browser. */
  readonly signInWaitMs: number
  readonly sessionIdleMs: number
  /** The end of a browser session whatever happens; also how old the provider's own sign-in may be. */
  readonly sessionMostMs: number
  /** How long the groups that a sign-in named count: after this nothing stands for the person before they sign in again. */
  readonly groupsHoldMs: number
  /** Asked each time, so that a reload of the configuration counts at once. */
  readonly machines?: (() => readonly MachineSettings[]) | undefined
}

export type IdentityHooks = {
  /** The secret behind `env:NAME` or `file:/path`. */
  secret(ref: SecretRef): Promise<string>
  /** Why this person is locked out, as a sentence; undefined when they are not. */
  lockOf(subject: Subject, username: Username): Promise<string | undefined>
  /** The provider has ended this person's sign-in. */
  signedOut(subject: Subject): void
}

export type IdentityParts = {
  readonly state: Pick<State, 'all' | 'run' | 'tx' | 'onChange'>
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  readonly settings: IdentitySettings
  readonly hooks: IdentityHooks
}

/** A working day and a half: longer than this no key stands for a person. */
export const MOST_KEY_MS = 12 * 3_600_000

/** The paths under `publicUrl` that the portal serves for identity. */
export const PATHS = {
  /** Where providers send the browser back. Registered there as `publicUrl` + this. */
  callback: '/auth/callback',
  /** Where providers POST `logout_token`. */
  backchannelLogout: '/auth/backchannel-logout',
  /** Where the browser lands after it signed out at the provider. */
  signedOut: '/signed-out',
  /** The page of one waiting sign-in: this + its id. */
  approve: '/approve/',
} as const
