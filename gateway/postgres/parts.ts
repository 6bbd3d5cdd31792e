/** What the PostgreSQL door asks of the outside. */
import type { Duplex } from 'node:stream'
import type { Audit } from '../model/event.ts'
import type { GrantId } from '../model/grant.ts'
import type { Identity, ShownCertificate, Username } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Moment } from '../model/moment.ts'
import type { SecretRef, Target } from '../model/target.ts'
import type { AccessDesk, Admission, AdmitParts, OpenParts, SignIns } from '../session/session.ts'
import type { BearerTokens } from './bearer.ts'
import type { SshAddress } from './deny.ts'
import type { CreateJudge } from './judge.ts'
import type { Pem } from './tls-door.ts'

/** A database token as it is kept: enough to check a password, not enough to be one. */
export type LiveToken = {
  /** As PostgreSQL writes it: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. */
  readonly verifier: string
  /** The person and the sign-in that stood behind the token when it was made. */
  readonly identity: Identity
}

/** identity/ fits. */
export type DatabaseTokens = {
  /** The one live token of that person. @throws {Refusal} LOCKED. */
  live(username: Username): Promise<LiveToken | undefined>
}

/** identity/ fits. */
export type Machines = {
  /** Undefined: a person, who signs in in another way. @throws {Refusal} NOT_SIGNED_IN, LOCKED. */
  identity(username: Username, shown: ShownCertificate | undefined): Promise<Identity | undefined>
}

/**
 * Remembers for a short while that a person signed in from an address for a target, so that the next connection of a pool does not ask again.
 * `key` holds all that must be equal. Without this part every worker remembers for itself.
 */
export type SignInLeases = {
  get(key: string): Promise<Identity | undefined>
  put(key: string, identity: Identity, expiresAt: Moment): Promise<void>
}

/** A role that is about to be made, or was made, on a target. Written before the role is. */
export type RoleIntent = {
  readonly target: string
  readonly role: string
  readonly grant: GrantId
  /** The process that made it; see {@link PostgresSettings.holder}. */
  readonly holder: string
  readonly createdAt: Moment
  readonly expiresAt: Moment
}

/** state/ (by way of whoever keeps grants) fits. */
export type RoleIntents = {
  /** Replaces the one with the same target and role. Resolves once it is on disk. */
  put(intent: RoleIntent): Promise<void>
  list(target: string): Promise<readonly RoleIntent[]>
  remove(target: string, role: string): Promise<void>
}

export type PostgresSettings = {
  /** Plaintext is taken from loopback addresses only, and only then. */
  readonly allowPlaintext: boolean
  /** Part of the names of roles made on targets: two deployments never touch each other's. `[a-z0-9]{1,12}`. */
  readonly deployment: string
  /** This process, told apart from one that died before it. */
  readonly holder: string
  /** 0…127; the high byte of the process ids that clients see, so that a CancelRequest finds its worker. */
  readonly worker: number
  /** Where people type `ssh … request`, for hints. */
  readonly sshAddress: SshAddress
  readonly portalUrl: string
  /** How long one browser sign-in serves further connections of the same person, address and target. */
  readonly leaseMinutes: number
  /** How long a connection waits for a grant to be approved. */
  readonly approvalMinutes: number
}

export type PostgresParts = {
  readonly access: {
    readonly signIns: Pick<SignIns, 'ask' | 'askPasskey'>
    readonly tokens: DatabaseTokens
    readonly leases?: SignInLeases
    readonly bearer?: BearerTokens
    readonly machines?: Machines
    readonly admit: AdmitParts
    readonly desk: Pick<AccessDesk, 'onChange' | 'requests' | 'roles' | 'request'>
  }
  readonly open: OpenParts
  readonly createJudge: CreateJudge
  readonly upstream: {
    /** A line to the target's PostgreSQL endpoint, before TLS: that is this room's. */
    dial(admission: Admission, signal: AbortSignal): Promise<Duplex>
    /** The same line for upkeep: making and dropping roles, cancelling a query. No byte of a person ever goes this way. */
    reach(target: Target, signal: AbortSignal): Promise<Duplex>
    secret(ref: SecretRef): Promise<string>
    readonly intents: RoleIntents
  }
  readonly edge: {
    /** Asked at each connection, so that a renewed certificate is used at once. */
    tls(): Pem
    /** A CancelRequest for another worker's key: its bytes, for that worker's `cancel`. */
    cancelElsewhere?(worker: number, processId: number, key: Buffer): void
    readonly log: Log
    readonly audit: Audit
    readonly settings: PostgresSettings
  }
}
