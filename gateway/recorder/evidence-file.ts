/**
 * One file that tells the whole story of a grant, and can be checked without us: lines of JSON.
 *
 *   head (the grant with its reason, approvals and the proof of the sign-in) · audit* · (session · checkpoint* · event*)* · end (a signature over all before)
 *
 * What happened to the audit log's own chain cannot be seen from here: other people's events are not in the file. `verify` over the store sees that.
 */
import { createHash, createPublicKey, sign } from 'node:crypto'
import type { ClickHouseClient } from '@clickhouse/client'
import type { EventKind } from '../model/event.ts'
import type { Grant } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'
import type { Role } from '../model/role.ts'
import { keyId, type SigningKey } from './chain.ts'
import { type AuditNote, checkpointsOf, eventRecords, rows } from './evidence-rows.ts'
import type { SessionEntry } from './segment.ts'

export const EVIDENCE_FORMAT = 'sallyport-evidence-2'

/** What the file is about, and who asked for it. */
export type EvidenceAsk = {
  readonly grant: Grant
  /** Undefined when it has left the config. */
  readonly role: Role | undefined
  readonly by: string
  readonly at: Moment
}

export type EvidenceLine =
  | {
      readonly file: typeof EVIDENCE_FORMAT
      readonly by: string
      readonly at: number
      readonly grant: Grant
      readonly role: Role | null
      /** PEM. Whoever checks the file should have it from elsewhere, too. */
      readonly publicKey: string
    }
  | { readonly audit: AuditNote }
  | { readonly session: SessionEntry }
  /** The last record it covers, when, head, signature and key id in hex. */
  | { readonly checkpoint: readonly [seq: number, at: number, head: string, signature: string, keyId: string] }
  | { readonly event: readonly [seq: number, at: number, kind: EventKind, base64: string] }
  | { readonly end: { readonly lines: number; readonly keyId: string; readonly signature: string } }

/** The bytes under the signature: `digest` is SHA-256 over all lines before. */
export const signedBytes = (digest: Buffer): Buffer => Buffer.concat([Buffer.from(EVIDENCE_FORMAT), digest])

/** Lines, each ending in a newline. */
export async function* evidenceFile(
  client: ClickHouseClient,
  key: SigningKey,
  ask: EvidenceAsk,
): AsyncGenerator<string> {
  const hash = createHash('sha256')
  let lines = 0
  const line = (content: EvidenceLine): string => {
    const text = `${JSON.stringify(content)}\n`
    hash.update(text)
    lines += 1
    return text
  }
  const publicKey = createPublicKey(key.privateKey)
  const { grant, role, by, at } = ask
  const pem = String(publicKey.export({ format: 'pem', type: 'spki' }))
  yield line({ file: EVIDENCE_FORMAT, by, at, grant, role: role ?? null, publicKey: pem })
  for await (const audit of notesOf(client, grant.id)) yield line({ audit })
  for (const [id, entry] of await sessionsOf(client, grant.id)) {
    yield line({ session: JSON.parse(entry) as SessionEntry })
    for (const { seq, at, head, signature, keyId } of await checkpointsOf(client, id)) {
      const [hexHead, hexSignature, hexKey] = [head, signature, keyId].map((bytes) => bytes.toString('hex'))
      yield line({ checkpoint: [seq, at, hexHead ?? '', hexSignature ?? '', hexKey ?? ''] })
    }
    for await (const { seq, at, kind, data } of eventRecords(client, id))
      yield line({ event: [seq, at, kind as EventKind, data.toString('base64')] })
  }
  const signature = sign(null, signedBytes(hash.digest()), key.privateKey).toString('base64')
  yield `${JSON.stringify({ end: { lines, keyId: keyId(publicKey).toString('hex'), signature } } satisfies EvidenceLine)}\n`
}

async function* notesOf(client: ClickHouseClient, grant: string): AsyncGenerator<AuditNote> {
  const query = `SELECT any(entry) FROM audit.audit_log WHERE grant_id = {grant:String} GROUP BY event_id ORDER BY max(ts), max(seq)`
  for (const [entry] of await rows<[string]>(client, query, { grant })) yield JSON.parse(entry) as AuditNote
}

/** Oldest first. */
function sessionsOf(client: ClickHouseClient, grant: string): Promise<readonly [id: string, entry: string][]> {
  return rows<[string, string]>(
    client,
    `SELECT toString(session_id), argMax(entry, version) FROM audit.sessions
     WHERE grant_id = {grant:String} GROUP BY session_id ORDER BY max(started), session_id`,
    { grant },
  )
}
