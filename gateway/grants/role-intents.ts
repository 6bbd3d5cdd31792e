/** Remembers which database roles were made on which target, so that a crash leaves none behind unseen. */
import type { GrantId } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'
import type { State } from '../state/state.ts'

export type RoleIntent = {
  readonly target: string
  readonly role: string
  readonly grant: GrantId
  /** The process that made it. */
  readonly holder: string
  readonly createdAt: Moment
  readonly expiresAt: Moment
}

type Row = {
  readonly target: string
  readonly role: string
  readonly grant_id: GrantId
  readonly holder: string
  readonly created_at: Moment
  readonly expires_at: Moment
}

export class RoleIntents {
  readonly #state: State

  constructor(state: State) {
    this.#state = state
  }

  /** Replaces the one with the same target and role. Resolves once it is on disk. */
  async put({ target, role, grant, holder, createdAt, expiresAt }: RoleIntent): Promise<void> {
    await this.#state.run(
      `insert into role_intents (target, role, grant_id, holder, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)
       on conflict (target, role) do update set grant_id = excluded.grant_id, holder = excluded.holder,
         created_at = excluded.created_at, expires_at = excluded.expires_at`,
      [target, role, grant, holder, createdAt, expiresAt],
    )
  }

  async list(target: string): Promise<readonly RoleIntent[]> {
    const rows = await this.#state.all<Row>('select * from role_intents where target = $1 order by role', [target])
    return rows.map((row) => ({
      target: row.target,
      role: row.role,
      grant: row.grant_id,
      holder: row.holder,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
    }))
  }

  async remove(target: string, role: string): Promise<void> {
    await this.#state.run('delete from role_intents where target = $1 and role = $2', [target, role])
  }

  /** Whether its own time is not over, and the grant behind it still opens anything. */
  async isLive(intent: RoleIntent, now: Moment): Promise<boolean> {
    if (intent.expiresAt <= now) return false
    const rows = await this.#state.all<{ id: string }>(
      "select id from grants where id = $1 and state = 'live' and expires_at > $2",
      [intent.grant, now],
    )
    return rows.length > 0
  }
}
