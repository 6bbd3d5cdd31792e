/**
 * What a person typed and nobody has echoed yet, on disk for the case of a kill -9: one small file per session, overwritten in place,
 * zeroed as soon as it is decided. Secrets as such never come here: at a question for a secret, or after half a second, only their count does.
 */
import { closeSync, fdatasync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import type { Moment } from '../model/moment.ts'
import { type Held, MAX_HELD_BYTES, MAX_HELD_ITEMS } from './echo.ts'

const fsync = promisify(fdatasync)

const HEADER = 8
const ITEM = 9
const FILE_BYTES = HEADER + MAX_HELD_ITEMS * (ITEM + 8) + MAX_HELD_BYTES

export class HoldFile {
  readonly #file: string
  /** Made at the first need: most sessions hold nothing most of the time. */
  #bytes: Buffer = Buffer.alloc(0)
  #fd = -1
  #dirty = 0

  constructor(file: string) {
    this.#file = file
  }

  /** Replaces what the file says; an empty list zeroes it. @throws when it cannot be written. */
  write(held: readonly Held[]): void {
    if (this.#fd < 0) {
      if (held.length === 0) return
      this.#fd = openSync(this.#file, 'wx', 0o600)
      this.#bytes = Buffer.alloc(FILE_BYTES)
      writeSync(this.#fd, this.#bytes, 0, FILE_BYTES, 0)
    }
    this.#bytes.fill(0, 0, this.#dirty)
    let end = HEADER
    for (const { kind, at, data } of held) {
      this.#bytes.writeUIntLE(at, end, 6)
      this.#bytes[end + 6] = kind.charCodeAt(0)
      this.#bytes.writeUInt16LE(data.length, end + 7)
      end += ITEM + data.copy(this.#bytes, end + ITEM)
    }
    if (held.length === 0) end = 0
    else {
      this.#bytes.writeUInt32LE(end - HEADER, 0)
      this.#bytes.writeUInt32LE(crc32(this.#bytes.subarray(HEADER, end)), 4)
    }
    writeSync(this.#fd, this.#bytes, 0, Math.max(end, this.#dirty), 0)
    this.#dirty = end
  }

  /** Resolves when what the file says is on disk. */
  async sync(): Promise<void> {
    if (this.#fd >= 0) await fsync(this.#fd)
  }

  close(): void {
    if (this.#fd < 0) return
    this.write([])
    closeSync(this.#fd)
    this.#fd = -1
    unlinkSync(this.#file)
  }
}

/** What was held when the process died; nothing when the file was being written just then. */
export function readHold(file: string): readonly Held[] {
  const bytes = readFileSync(file)
  if (bytes.length < HEADER) return []
  const end = HEADER + bytes.readUInt32LE(0)
  if (end > bytes.length || crc32(bytes.subarray(HEADER, end)) !== bytes.readUInt32LE(4)) return []
  const held: Held[] = []
  let at = HEADER
  while (at + ITEM <= end) {
    const length = bytes.readUInt16LE(at + 7)
    const data = bytes.subarray(at + ITEM, at + ITEM + length)
    held.push({ kind: bytes[at + 6] === 0x6b ? 'k' : 'i', at: bytes.readUIntLE(at, 6) as Moment, data })
    at += ITEM + length
  }
  return held
}
