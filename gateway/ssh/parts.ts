/** What the front half of the room is given. */
import type { Audit } from '../model/event.ts'
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import type { AccessDesk, AdmitParts, Library, OpenParts, SignIns } from '../session/session.ts'
import type { DatabaseTokenDesk } from './commands/command.ts'
import type { AgentParts } from './agents.ts'
import type { AgentDesk } from './commands/agents.ts'
import type { Engine } from './engine/contract.ts'
import type { KeptDesk } from './kept-changes.ts'

export type SshSettings = {
  /** How people reach this gateway, for hints and `ssh-config`: never taken from a client. */
  readonly address: { readonly host: string; readonly port: number }
  /** The portal: `https://gateway.example`. */
  readonly publicUrl: string
  /** Time to sign in; starts anew while an approval is waited for. */
  readonly graceMs: number
  /** Failed attempts of one connection before it is closed. */
  readonly maxFailures: number
  /** How long a key stays bound after a sign-in: said to the person when it is known here. */
  readonly keyBoundForMs: number | undefined
  /** Connections that have not signed in yet. Where there is no room, one waits for `patienceMs`, so that a burst of known keys gets through. */
  readonly unsigned: { readonly all: number; readonly perAddress: number; readonly patienceMs: number }
  /** Channels that one connection may have open at a time. */
  readonly channels: number
}

export const DEFAULTS: Omit<SshSettings, 'address' | 'publicUrl'> = {
  graceMs: 120_000,
  maxFailures: 6,
  keyBoundForMs: undefined,
  unsigned: { all: 100, perAddress: 10, patienceMs: 5_000 },
  channels: 10,
}

export type SshParts = {
  readonly engine: Engine
  readonly people: {
    readonly signIns: SignIns
    readonly desk: AccessDesk
    readonly library: Library
    /** Undefined where the gateway has no database door. */
    readonly tokens?: DatabaseTokenDesk | undefined
  }
  readonly road: { readonly admit: AdmitParts; readonly open: OpenParts }
  /** Undefined: no agents here. */
  readonly agents?: (AgentParts & { readonly book: AgentDesk; readonly kept?: KeptDesk }) | undefined
  readonly settings: Pick<SshSettings, 'address' | 'publicUrl'> & Partial<SshSettings>
  readonly notes: { readonly clock: Clock; readonly log: Log; readonly audit: Audit }
}
