/** Which agents there are: one-time tokens, bound keys, revocation. Nothing here is a person, and nothing here opens a session. */
import { createHash, randomBytes } from 'node:crypto'
import type { AuditEvent } from '../model/event.ts'
import { after, type Clock } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { State } from '../state/state.ts'

export type EnrolmentParts = {
  readonly state: State
  readonly clock: Clock
  readonly note: (kind: Extract<AuditEvent['kind'], `agent.${string}`>, actor: string, text: string) => void
}

/** An agent as the gateway knows it: the fingerprint of its key, and the targets that it may serve. */
export type Bound = { readonly name: string; readonly fingerprint: string; readonly targets: readonly string[] }

export type Enrolment = {
  readonly secret: string
  readonly fingerprint: string
  /** `ssh-ed25519 AAAA…` of the agent's own shell. */
  readonly shellKey: string
  readonly address: string
}

type Row = { readonly fingerprint: string; readonly targets: string; readonly shell_key: string }

export const AGENT_NAME = /^[a-z][a-z0-9-]{0,62}$/
const SHELL_KEY = /^ssh-ed25519 [A-Za-z0-9+/]{68}$/
const SECRET_BYTES = 32
const MOST_MS = 24 * 3_600_000

export const targetsOf = (text: string): readonly string[] => (JSON.parse(text) as unknown[]).map(String)

/** The secret is shown once; only its hash is kept. An agent that exists already gets a new key by it. @throws {Refusal} BAD_INPUT */
export async function issueToken(
  { clock, note, state }: EnrolmentParts,
  by: string,
  wish: { readonly agent: string; readonly targets: readonly string[]; readonly forMs: number },
): Promise<string> {
  if (!AGENT_NAME.test(wish.agent))
    throw new Refusal(
      'BAD_INPUT',
      'An agent’s name is lower-case letters, digits and hyphens, and begins with a letter.',
    )
  if (wish.targets.length === 0) throw new Refusal('BAD_INPUT', 'Say which targets the agent may serve.')
  if (!(wish.forMs > 0 && wish.forMs <= MOST_MS))
    throw new Refusal('BAD_INPUT', 'A token is good for 24 hours at most.')
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  const now = clock.now()
  await state.tx(async (tx) => {
    // One token at a time: a new one takes the place of those that nobody used.
    await tx.run('delete from agent_tokens where (agent = $1 and used_at is null) or expires_at < $2', [
      wish.agent,
      after(now, -30 * 24 * 3_600_000),
    ])
    await tx.run(
      'insert into agent_tokens (hash, agent, targets, created_by, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)',
      [hash(secret), wish.agent, JSON.stringify(wish.targets), by, now, after(now, wish.forMs)],
    )
  })
  note('agent.token-issued', by, `A token for the agent ${wish.agent} was issued (${wish.targets.join(', ')}).`)
  return secret
}

/** Whether it makes sense to ask somebody for a token. */
export async function isAwaited({ clock, state }: EnrolmentParts, agent: string): Promise<boolean> {
  const rows = await state.all(
    'select 1 as one from agent_tokens where agent = $1 and used_at is null and expires_at > $2',
    [agent, clock.now()],
  )
  return rows.length > 0
}

/** Binds a key that was proven to the name that the token names; the token is used up. Undefined: not with this token. */
export async function enrol(
  { clock, note, state }: EnrolmentParts,
  agent: string,
  { address, fingerprint, secret, shellKey }: Enrolment,
): Promise<Bound | undefined> {
  if (!SHELL_KEY.test(shellKey)) return undefined
  const now = clock.now()
  const bound = await state.tx(async (tx) => {
    const used = await tx.run(
      'update agent_tokens set used_at = $1 where hash = $2 and agent = $3 and used_at is null and expires_at > $1',
      [now, hash(secret), agent],
    )
    if (used !== 1) return undefined
    const [token] = await tx.all<{ targets: string; created_by: string }>(
      'select targets, created_by from agent_tokens where hash = $1',
      [hash(secret)],
    )
    if (token === undefined) return undefined
    await tx.run('delete from agents where name = $1', [agent])
    await tx.run(
      'insert into agents (name, fingerprint, shell_key, targets, enrolled_by, enrolled_at) values ($1, $2, $3, $4, $5, $6)',
      [agent, fingerprint, shellKey, token.targets, token.created_by, now],
    )
    return { name: agent, fingerprint, targets: targetsOf(token.targets) }
  })
  if (bound === undefined)
    note(
      'agent.refused',
      '',
      `Somebody at ${address} showed a token for the agent ${agent} that is wrong, used or too old.`,
    )
  else note('agent.enrolled', '', `The agent ${agent} was enrolled from ${address} with the key ${fingerprint}.`)
  return bound
}

/** The agent behind that key, unless it was revoked. */
export async function boundAgent(
  { state }: Pick<EnrolmentParts, 'state'>,
  name: string,
  fingerprint: string,
): Promise<(Bound & { readonly shellKey: string }) | undefined> {
  const [row] = await state.all<Row>(
    'select fingerprint, targets, shell_key from agents where name = $1 and fingerprint = $2 and revoked_at is null',
    [name, fingerprint],
  )
  return row && { name, fingerprint, targets: targetsOf(row.targets), shellKey: row.shell_key }
}

export async function shellKeyOf({ state }: Pick<EnrolmentParts, 'state'>, name: string): Promise<string | undefined> {
  const [row] = await state.all<Row>('select shell_key from agents where name = $1 and revoked_at is null', [name])
  return row?.shell_key
}

/** @throws {Refusal} NOT_FOUND */
export async function revokeAgent({ clock, note, state }: EnrolmentParts, by: string, name: string): Promise<void> {
  const done = await state.tx(async (tx) => {
    await tx.run('delete from agent_tokens where agent = $1 and used_at is null', [name])
    return tx.run('update agents set revoked_at = $1, revoked_by = $2 where name = $3 and revoked_at is null', [
      clock.now(),
      by,
      name,
    ])
  })
  if (done !== 1) throw new Refusal('NOT_FOUND', 'There is no such agent.')
  note('agent.revoked', by, `The agent ${name} was revoked.`)
}

const hash = (secret: string): string => createHash('sha256').update(secret).digest('hex')
