/** What a session's workspace held at its end, asked of the agent and taken into the recording. An agent's answer is untrusted input. */
import type { FileRecord } from '../model/event.ts'
import { Refusal } from '../model/refusal.ts'
import type { Session } from '../session/session.ts'
import type { Engine } from './engine/contract.ts'
import { plain } from './screen/text.ts'

const MOST = 1000
const MOST_PATH = 4096
const MOST_DIFF = 128 * 1024
const CHANGES = ['added', 'changed', 'deleted'] as const

/** A change as a recording has it. */
export type LayerChange = FileRecord & { readonly operation: (typeof CHANGES)[number] }

/** Call once the programs of the session are over, before it is closed. Never throws: the recording says what is missing. */
export async function recordChanges(engine: Pick<Engine, 'errand'>, session: Session): Promise<void> {
  const { role, target } = session.admission
  if (role.ssh.workspace?.mode !== 'overlay') return
  const note = (kind: 'm' | 'f', text: string): void => {
    try {
      session.recording.take(kind, text)
    } catch {
      // The journal is broken: the session says so itself.
    }
  }
  try {
    const said: unknown = JSON.parse(await engine.errand(target, `changes@sallyport ${session.id}`))
    const { changes, left } = readChanges(said)
    const count = changes.length + left
    if (count === 0) note('m', 'Nothing was changed in the workspace.')
    else note('m', `Changed in the workspace, and ${fateOf(fieldsOf(said)['kept'])}: ${count}.`)
    for (const change of changes) note('f', JSON.stringify(change))
    if (left > 0) note('m', `${left} more are not listed.`)
  } catch (failure) {
    const why = failure instanceof Refusal ? failure.message : 'its agent gave no readable answer.'
    note('m', `What was changed in the workspace is not known, and is thrown away: ${why}`)
  }
}

function fateOf(kept: unknown): string {
  if (kept === undefined) return 'thrown away'
  const { digest, failed } = fieldsOf(kept)
  return typeof failed === 'string'
    ? `thrown away (${plain(failed, 300)})`
    : `kept for a second person (sha256 ${plain(String(digest), 64)})`
}

/** @throws {Error} for anything odd. */
export function readChanges(said: unknown): { readonly changes: readonly LayerChange[]; readonly left: number } {
  const { entries, failed, left } = fieldsOf(said)
  if (typeof failed === 'string') throw new Refusal('TARGET_UNREACHABLE', plain(failed, 300))
  if (!Array.isArray(entries) || !isCount(left)) throw new Error('No list of changes.')
  const changes = entries.slice(0, MOST).map((entry) => readChange(entry))
  return { changes, left: left + entries.length - changes.length }
}

function readChange(said: unknown): LayerChange {
  const { change, diff, is, path, was } = fieldsOf(said)
  const operation = CHANGES.find((known) => known === change)
  if (operation === undefined || typeof path !== 'string') throw new Error('No change.')
  const [before, after] = [faceWords(was), faceWords(is)]
  const { sha256, size, to } = fieldsOf(is ?? was ?? {})
  const detail =
    before === undefined || after === undefined
      ? (before ?? after ?? '')
      : before === after
        ? after
        : `${before} → ${after}`
  return {
    operation,
    path: path.slice(0, MOST_PATH),
    result: 'done',
    detail,
    ...(typeof to === 'string' ? { to: to.slice(0, MOST_PATH) } : {}),
    ...(isCount(size) ? { bytes: size } : {}),
    ...(typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256) ? { sha256 } : {}),
    ...(typeof diff === 'string' ? { diff: diff.length > MOST_DIFF ? `${diff.slice(0, MOST_DIFF)}\n…` : diff } : {}),
  }
}

/** `file 0644 1000:1000`. */
function faceWords(said: unknown): string | undefined {
  if (said === undefined) return undefined
  const { gid, kind, mode, uid } = fieldsOf(said)
  if (typeof kind !== 'string' || !isCount(mode) || !isCount(uid) || !isCount(gid)) throw new Error('No face.')
  return `${plain(kind, 20)} ${mode.toString(8).padStart(4, '0')} ${uid}:${gid}`
}

export const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new Error('An object was expected.')
  return value as Readonly<Record<string, unknown>>
}
