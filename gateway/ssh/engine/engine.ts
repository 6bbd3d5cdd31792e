/** The engine half of the room: SSH connections, both ways, and the relay between them. The front half decides who may do what. */
import type { Duplex } from 'node:stream'
import type { Log } from '../../model/log.ts'
import type { Clock } from '../../model/moment.ts'
import type { SecretRef } from '../../model/target.ts'
import type { Admission } from '../../session/session.ts'
import type { Engine } from './contract.ts'

export type * from './contract.ts'

export type EngineParts = {
  readonly log: Log
  readonly clock: Clock
  /** Of the gateway, for the identification string. */
  readonly version: string
  /** Where the gateway's host key and its two CAs live; made at first start, mode 0600. */
  readonly keyDirectory: string
  /** Public key lines of CAs whose user certificates count as a proven key. */
  readonly userAuthorities: readonly string[]
  /** Names by which clients know the gateway: principals of its host certificate. */
  readonly hostNames: readonly string[]
  /** upstreams/ fits. */
  readonly upstreams: {
    dial(admission: Admission, signal?: AbortSignal): Promise<Duplex>
    secret(ref: SecretRef): Promise<Buffer>
  }
}

/** Reads or makes the keys. @throws when a key file can be read by others or ssh2 is not the reviewed version. */
export declare function createEngine(parts: EngineParts): Engine
