/** Listens for PostgreSQL clients and leads each through start-up, sign-in and admission to the relay. */
import { Fault } from '../model/refusal.ts'
import type { Target } from '../model/target.ts'
import type { PostgresParts, RoleIntent } from './parts.ts'

export type ListenOptions = { readonly host: string; readonly port: number; readonly reusePort?: boolean }

export type PostgresTerminator = {
  /** Resolves with the port. */
  listen(options: ListenOptions): Promise<{ readonly port: number }>
  /** A CancelRequest that came to another worker. Wrong keys do nothing. */
  cancel(processId: number, key: Buffer): void
  /**
   * Drops roles that a dead process left behind on the targets that are provisioned. `keep` says whether an intent is still somebody's
   * (its holder is alive and its grant is live); roles of this deployment without any intent are dropped too.
   */
  sweep(
    targets: readonly Target[],
    keep: (intent: RoleIntent) => boolean | Promise<boolean>,
  ): Promise<readonly string[]>
  /** Stops listening, tells every client why, drops the roles that this process made. */
  close(): Promise<void>
}

export function createPostgresTerminator(_parts: PostgresParts): PostgresTerminator {
  throw new Fault('the door is not hung yet')
}
