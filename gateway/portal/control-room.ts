/** What administrators look at and turn: the types of the parts behind their pages. */
import type { Identity, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import type { Role } from '../model/role.ts'
import type { Target } from '../model/target.ts'
import type { BoundKey } from './parts.ts'

export type AgentDesk = {
  /** The whole token, shown once. @throws {Refusal} BAD_INPUT. */
  issue(
    by: string,
    wish: { readonly agent: string; readonly targets: readonly string[]; readonly forMs: number },
  ): Promise<string>
  /** @throws {Refusal} NOT_FOUND. */
  revoke(by: string, agent: string): Promise<void>
  agents(): Promise<
    readonly {
      readonly name: string
      readonly fingerprint: string
      readonly targets: readonly string[]
      readonly enrolledBy: string
      readonly enrolledAt: Moment
      readonly isRevoked: boolean
      readonly lines: readonly {
        readonly worker: string
        readonly address: string
        readonly version: string
        readonly workspaces: string
        readonly offers: readonly string[]
        readonly since: Moment
        readonly seenAt: Moment
      }[]
    }[]
  >
}

export type ControlRoom = {
  /** As the config is now. */
  readonly targets: () => readonly Target[]
  readonly roles: () => readonly Role[]
  readonly people: {
    list(): Promise<
      readonly {
        readonly username: Username
        readonly groups: readonly string[]
        readonly seenAt: Moment
        readonly keys: readonly BoundKey[]
        readonly browsers: number
        readonly passkeys: number
        readonly tokenUntil: Moment | undefined
      }[]
    >
    /** Ends every sign-in, key and token of that person. @throws {Refusal} NOT_FOUND. */
    expel(username: string, by: Identity): Promise<void>
  }
  readonly agents: AgentDesk
  readonly health: () => Promise<{
    readonly version: string
    readonly workers: { readonly ready: number; readonly wanted: number; readonly restarts: number } | undefined
    readonly journal: {
      readonly isOpen: boolean
      readonly backlogBytes: number | undefined
      readonly oldestSeconds: number | undefined
      readonly mostBytes: number
    }
    readonly audit: { readonly isReachable: boolean; readonly kind: 'embedded' | 'server' }
    readonly state: { readonly seenAt: Moment; readonly kind: 'embedded' | 'server' }
    readonly providers: readonly { readonly title: string; readonly isReachable: boolean }[]
  }>
}
