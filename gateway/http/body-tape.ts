/** Keeps the beginning of bodies in the recording, where the role says so: JSON lines among the session's input and output. */
import { TextDecoder } from 'node:util'
import type { LiveSession } from './live-session.ts'

/** True when this chunk is in the recording (and has to be in the journal before it goes on). */
export type BodyTape = (side: 'request' | 'answer', chunk: Buffer) => boolean

/** Undefined where nothing is kept. `most` counts for each side. */
export function tapeFor(session: Pick<LiveSession, 'record'>, n: number, most: number): BodyTape | undefined {
  if (most === 0) return undefined
  const left = { request: most, answer: most }
  const decoders = {
    request: new TextDecoder('utf-8', { fatal: true }),
    answer: new TextDecoder('utf-8', { fatal: true }),
  }
  const isText = { request: true, answer: true }
  const write = (side: 'request' | 'answer', content: object) =>
    session.record(side === 'request' ? 'i' : 'o', `${JSON.stringify({ n, part: side, ...content })}\n`)
  return (side, chunk) => {
    if (left[side] === 0) return false
    const kept = chunk.subarray(0, left[side])
    left[side] -= kept.length
    write(side, contentOf(kept, decoders, isText, side))
    if (left[side] === 0) write(side, { cut: true })
    return true
  }
}

/** Text as text; from the first bytes that are none, base64. */
function contentOf<Side extends string>(
  bytes: Buffer,
  decoders: Readonly<Record<Side, TextDecoder>>,
  isText: Record<Side, boolean>,
  side: Side,
): object {
  if (isText[side])
    try {
      return { text: decoders[side].decode(bytes, { stream: true }) }
    } catch {
      isText[side] = false
    }
  return { base64: bytes.toString('base64') }
}
