/**
 * The file of one segment while it is written: a new one, or one that was shipped, which is written over. Its pages and blocks are there already,
 * which in bulk is most of what a write costs. What it held before is cut off as soon as bulk ends.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  linkSync,
  openSync,
  readdirSync,
  rmSync,
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

/** The one that was shipped first. The shipper throws them away when they are too old or too many. Whatever is wrong with it, a new file will do. */
function takeFree(dir: string, file: string): number | undefined {
  for (const name of readdirSync(dir).filter(isFreeName).toSorted()) {
    const free = path.join(dir, name)
    const fd = openFree(free)
    if (fd === undefined) continue
    try {
      // Of a file with a second name the other is somebody's copy.
      const isOurs = fstatSync(fd).nlink === 1
      // A link never takes the place of a segment that is there.
      if (isOurs) linkSync(free, file)
      rmSync(free, { force: true })
      if (isOurs) return fd
    } catch {
      // The shipper has thrown it away just now.
    }
    closeSync(fd)
  }
  return undefined
}

/** Undefined for what is no file. */
function openFree(free: string): number | undefined {
  try {
    const fd = openSync(free, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if (fstatSync(fd).isFile()) return fd
    closeSync(fd)
  } catch {
    // A link, a directory, or gone.
  }
  return undefined
}
