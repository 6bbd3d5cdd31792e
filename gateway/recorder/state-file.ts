/**
 * A small text that survives a crash at any moment and can still be changed when the disk is full:
 * two slots that were written beforehand are overwritten in turn, and the newer sound one holds.
 */
import { closeSync, fdatasyncSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { syncDirectory } from './writer.ts'

const SLOT_BYTES = 256 * 1024
const HEADER = 12

export class StateFile {
  readonly #fd: number
  #generation = 0
  /** What the file said when it was opened; empty when it is new. */
  readonly text: string = ''

  /** @throws when the file is there and neither slot is sound: starting anew would forget what was promised. */
  constructor(file: string) {
    this.#fd = openExisting(file) ?? create(file)
    const slots = [0, 1].map((slot) => this.#read(slot)).filter((slot) => slot !== undefined)
    const newest = slots.toSorted((a, b) => b.generation - a.generation)[0]
    if (newest === undefined) throw new Error(`Neither half of ${file} is sound`)
    this.#generation = newest.generation
    this.text = newest.text
  }

  /** On disk when this returns. @throws {RangeError} when the text is too long. */
  write(text: string): void {
    const generation = this.#generation + 1
    const bytes = Buffer.from(text)
    if (bytes.length > SLOT_BYTES - HEADER) throw new RangeError('The state does not fit its file')
    writeSync(this.#fd, slotOf(generation, bytes), 0, HEADER + bytes.length, (generation % 2) * SLOT_BYTES)
    fdatasyncSync(this.#fd)
    this.#generation = generation
  }

  close(): void {
    closeSync(this.#fd)
  }

  #read(slot: number): { readonly generation: number; readonly text: string } | undefined {
    const bytes = Buffer.alloc(SLOT_BYTES)
    if (readSync(this.#fd, bytes, 0, SLOT_BYTES, slot * SLOT_BYTES) < HEADER) return undefined
    const length = bytes.readUInt32LE(0)
    if (length > SLOT_BYTES - HEADER || crc32(bytes.subarray(8, HEADER + length)) !== bytes.readUInt32LE(4))
      return undefined
    return { generation: bytes.readUInt32LE(8), text: bytes.toString('utf8', HEADER, HEADER + length) }
  }
}

/** u32 length · u32 CRC-32 of what follows · u32 generation · text. */
function slotOf(generation: number, text: Buffer): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(HEADER), text])
  bytes.writeUInt32LE(text.length, 0)
  bytes.writeUInt32LE(generation, 8)
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4)
  return bytes
}

/** A file that is not complete was never used: its making was interrupted. */
function openExisting(file: string): number | undefined {
  let fd: number
  try {
    fd = openSync(file, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  if (fstatSync(fd).size === 2 * SLOT_BYTES) return fd
  closeSync(fd)
  return undefined
}

function create(file: string): number {
  const fd = openSync(file, 'w+', 0o600)
  const empty = Buffer.alloc(2 * SLOT_BYTES)
  slotOf(0, Buffer.alloc(0)).copy(empty)
  writeSync(fd, empty, 0, empty.length, 0)
  fdatasyncSync(fd)
  syncDirectory(path.dirname(file))
  return fd
}
