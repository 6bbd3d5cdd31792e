/**
 * The file of one segment while it is written: a new one, or one that was shipped, which is written over. Its pages and blocks are there already,
 * which in bulk is most of what a write costs. What it held before is cut off as soon as bulk ends.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { END, isFreeName, MAGIC, segmentName } from './segment.ts'

/** A segment that was not filled within this time carries no bulk. */
const TRIM_MS = 1_000

export class SegmentFile {
  readonly number: number
  readonly fd: number
  readonly #file: string
  #position = 0
  /** Where the file ends. */
  #end = 0
  #trimmer: NodeJS.Timeout | undefined

  /** @throws when it cannot be made. */
  constructor(dir: string, number: number) {
    this.number = number
    this.#file = path.join(dir, segmentName(number))
    this.fd = takeFree(dir, this.#file) ?? openSync(this.#file, 'wx', 0o600)
    try {
      this.#end = fstatSync(this.fd).size
      this.write(Buffer.concat([MAGIC, Buffer.alloc(END)]), MAGIC.length)
    } catch (error) {
      this.remove()
      throw error
    }
    if (this.#end === this.#position) return
    this.#trimmer = setTimeout(() => this.trim(), TRIM_MS)
    this.#trimmer.unref()
  }

  get position(): number {
    return this.#position
  }

  /** Behind what is written here there must be room in memory for the mark of the end. @throws when it could not all be written. */
  write(bytes: Buffer, length: number): void {
    const isOver = this.#position + length < this.#end
    if (isOver) bytes.fill(0, length, length + END)
    const all = isOver ? length + END : length
    let done = 0
    while (done < all) {
      done += writeSync(this.fd, bytes, done, all - done, this.#position + done)
      this.#end = Math.max(this.#end, this.#position + done)
    }
    this.#position += length
  }

  /** Cuts off what is not of this segment, or was not written whole. */
  trim(): void {
    clearTimeout(this.#trimmer)
    if (this.#end === this.#position) return
    try {
      ftruncateSync(this.fd, this.#position)
      this.#end = this.#position
    } catch {
      // It stays; readers stop before it.
    }
  }

  close(): void {
    clearTimeout(this.#trimmer)
    closeSync(this.fd)
  }

  /** It was never a segment. */
  remove(): void {
    this.close()
    unlinkSync(this.#file)
  }
}

/** The one that was shipped first. The shipper throws them away when they are too old or too many. */
function takeFree(dir: string, file: string): number | undefined {
  const free = readdirSync(dir).filter(isFreeName).toSorted()[0]
  if (free === undefined) return undefined
  try {
    renameSync(path.join(dir, free), file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const fd = openSync(file, constants.O_RDWR | constants.O_NOFOLLOW)
  if (fstatSync(fd).nlink === 1) return fd
  // Its other name is somebody's copy.
  closeSync(fd)
  unlinkSync(file)
  return undefined
}
