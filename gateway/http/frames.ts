/** Reads WebSocket frames as they pass (RFC 6455 §5), holding nothing back: where one ends, what it is, and its bytes unmasked. No socket in it. */
import { MalformedMessage } from '../model/refusal.ts'

/** A stretch of one frame's payload within one chunk; `last` ends the frame. An empty frame has one empty piece. */
export type Piece = {
  readonly opcode: number
  /** False: the message goes on in further frames. */
  readonly fin: boolean
  readonly last: boolean
  /** Unmasked; empty unless pieces are kept. */
  readonly payload: Buffer
}

export const OPCODES: Readonly<Record<number, string>> = {
  0: 'continuation',
  1: 'text',
  2: 'binary',
  8: 'close',
  9: 'ping',
  10: 'pong',
}
const LONGEST_HEADER = 14
const MOST_CONTROL = 125
const EMPTY = Buffer.alloc(0)

type Head = {
  readonly opcode: number
  readonly fin: boolean
  readonly length: number
  readonly mask: Buffer | undefined
}

export class FrameReader {
  readonly #isMasked: boolean
  readonly #keeps: boolean
  readonly #mayCompress: boolean
  #header: Buffer = EMPTY
  #head: Head | undefined
  #seen = 0

  /** Clients mask, servers do not. */
  constructor(how: { readonly from: 'client' | 'target'; readonly keeps: boolean; readonly mayCompress: boolean }) {
    this.#isMasked = how.from === 'client'
    this.#keeps = how.keeps
    this.#mayCompress = how.mayCompress
  }

  /** Between two frames: the only place where one may be put in. */
  get isAtBoundary(): boolean {
    return this.#head === undefined && this.#header.length === 0
  }

  /** @throws {MalformedMessage} */
  *push(chunk: Buffer): Generator<Piece> {
    let rest = chunk
    while (rest.length > 0) {
      if (this.#head === undefined) {
        const isWhole = this.#header.length === 0
        const taken = isWhole
          ? rest
          : Buffer.concat([this.#header, rest.subarray(0, LONGEST_HEADER - this.#header.length)])
        const parsed = this.#parse(taken)
        if (parsed === undefined) {
          this.#header = isWhole ? Buffer.from(taken) : taken
          return
        }
        rest = rest.subarray(parsed.bytes - this.#header.length)
        this.#header = EMPTY
        this.#head = parsed.head
        this.#seen = 0
        if (parsed.head.length > 0) continue
      }
      const head = this.#head
      const part = rest.subarray(0, head.length - this.#seen)
      rest = rest.subarray(part.length)
      const payload = this.#keeps ? unmasked(part, head.mask, this.#seen) : EMPTY
      this.#seen += part.length
      const last = this.#seen === head.length
      if (last) this.#head = undefined
      yield { opcode: head.opcode, fin: head.fin, last, payload }
    }
  }

  #parse(bytes: Buffer): { readonly head: Head; readonly bytes: number } | undefined {
    const [first, second] = bytes
    if (first === undefined || second === undefined) return undefined
    const opcode = first & 0x0f
    const fin = (first & 0x80) !== 0
    if (OPCODES[opcode] === undefined) throw new MalformedMessage('A WebSocket frame has an opcode that nobody knows.')
    if ((first & 0x30) !== 0 || ((first & 0x40) !== 0 && !this.#mayCompress))
      throw new MalformedMessage('A WebSocket frame uses an extension that was not agreed on.')
    if (((second & 0x80) !== 0) !== this.#isMasked)
      throw new MalformedMessage('A WebSocket frame is masked the wrong way.')
    const short = second & 0x7f
    if (opcode >= 8 && (!fin || short > MOST_CONTROL))
      throw new MalformedMessage('A WebSocket control frame is too long.')
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
    const size = 2 + lengthBytes + (this.#isMasked ? 4 : 0)
    if (bytes.length < size) return undefined
    const long =
      lengthBytes === 2 ? bytes.readUInt16BE(2) : lengthBytes === 8 ? Number(bytes.readBigUInt64BE(2)) : short
    if (!Number.isSafeInteger(long)) throw new MalformedMessage('A WebSocket frame is too long.')
    const mask = this.#isMasked && this.#keeps ? Buffer.from(bytes.subarray(size - 4, size)) : undefined
    return { head: { opcode, fin, length: long, mask }, bytes: size }
  }
}

function unmasked(part: Buffer, mask: Buffer | undefined, offset: number): Buffer {
  if (mask === undefined) return part
  const plain = Buffer.allocUnsafe(part.length)
  for (let i = 0; i < part.length; i++) plain[i] = (part[i] ?? 0) ^ (mask[(offset + i) & 3] ?? 0)
  return plain
}

/** A close frame of a server: 1008 is "policy violation", 1001 "going away" (RFC 6455 §7.4.1). */
export function closeFrame(code: 1001 | 1008, reason: string): Buffer {
  let text = Buffer.from(reason)
  // Control frames hold 125 bytes; cut between characters.
  for (let most = MOST_CONTROL - 2; text.length > MOST_CONTROL - 2; most--) text = Buffer.from(reason.slice(0, most))
  return Buffer.concat([Buffer.from([0x88, text.length + 2, code >> 8, code & 0xff]), text])
}
