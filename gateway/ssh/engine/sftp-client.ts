/** Asks a target's SFTP server for one file at a time, through the same lane as everybody's sftp: what it may is judged there. */
import { MalformedMessage, Refusal } from '../../model/refusal.ts'
import type { ClientLeg } from './client-leg.ts'
import { Frames, SFTP } from './sftp-frames.ts'
import { message, Reader, string, uint32, uint64 } from './wire.ts'

const VERSION = 3
/** What every server takes in one piece. */
const PIECE = 32 * 1024
/** Writes on their way at a time. */
const MOST_WRITES = 16
/** Flags of SSH_FXP_OPEN. */
const READ = 1
const WRITE = 2
const CREATE = 8
const TRUNCATE = 16
const EXCLUSIVE = 32
/** SSH_FILEXFER_ATTR_SIZE; and that of a directory in st_mode. */
const HAS_SIZE = 1
const HAS_OWNER = 2
const HAS_MODE = 4
const KIND = 0o170000
const DIRECTORY = 0o040000
const FX = { ok: 0, eof: 1, noSuchFile: 2, denied: 3 } as const

type Answer = { readonly type: number; readonly body: Reader }
type Waiter = { readonly resolve: (answer: Answer) => void; readonly reject: (why: unknown) => void }

export type FileFacts = { readonly size: number | undefined; readonly isDirectory: boolean }

export class SftpClient implements ClientLeg {
  readonly receivedEof = false
  readonly #frames = new Frames()
  readonly #waiting = new Map<number, Waiter>()
  readonly #onClosed: () => void
  #input: (bytes: Buffer) => void = () => undefined
  #version: Waiter | undefined
  #isOpen = true
  #next = 0
  #failure: unknown

  /** @param onClosed once, when nothing more comes. */
  constructor(onClosed: () => void) {
    this.#onClosed = onClosed
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Resolves when the server has answered. */
  async start(input: (bytes: Buffer) => void): Promise<void> {
    this.#input = input
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#version = { resolve, reject }
    })
    this.#say(message(SFTP.init, uint32(VERSION)))
    if ((await answer).type !== SFTP.version) throw new MalformedMessage('The target speaks no SFTP.')
  }

  /** Undefined: there is no such file. */
  async look(path: string): Promise<FileFacts | undefined> {
    const { body, type } = await this.#ask(SFTP.stat, string(path))
    if (type === SFTP.status && code(body) === FX.noSuchFile) return undefined
    if (type !== ATTRIBUTES) return refused(type, body, path)
    const flags = body.uint32()
    const size = (flags & HAS_SIZE) === 0 ? undefined : Number(body.uint64())
    if ((flags & HAS_OWNER) !== 0) body.uint64()
    const mode = (flags & HAS_MODE) === 0 ? 0 : body.uint32()
    return { size, isDirectory: (mode & KIND) === DIRECTORY }
  }

  openToRead(path: string): Promise<Buffer> {
    return this.#open(path, READ)
  }

  openToWrite(path: string, replace: boolean): Promise<Buffer> {
    return this.#open(path, WRITE | CREATE | (replace ? TRUNCATE : EXCLUSIVE))
  }

  /** The bytes from there on; undefined at the end. */
  async read(handle: Buffer, at: number): Promise<Buffer | undefined> {
    const { body, type } = await this.#ask(SFTP.read, string(handle), uint64(BigInt(at)), uint32(PIECE))
    if (type === SFTP.data) return Buffer.from(body.string(256 * 1024))
    return type === SFTP.status && code(body) === FX.eof ? undefined : refused(type, body, '')
  }

  /** Takes bytes in order, some ahead of the answers. `done` waits for all of them, and throws for the first that failed. */
  writer(handle: Buffer): { write(bytes: Buffer): Promise<void>; done(): Promise<void> } {
    const under = new Set<Promise<void>>()
    let at = 0
    let failure: unknown
    const piece = async (bytes: Buffer, from: number) => {
      const { body, type } = await this.#ask(SFTP.write, string(handle), uint64(BigInt(from)), string(bytes))
      if (type !== SFTP.status || code(body) !== FX.ok) refused(type, body, '')
    }
    const settled = () => {
      if (failure !== undefined) throw failure
    }
    return {
      write: async (bytes) => {
        for (let from = 0; from < bytes.length; from += PIECE) {
          while (under.size >= MOST_WRITES) await Promise.race(under)
          settled()
          const part = bytes.subarray(from, from + PIECE)
          const work: Promise<void> = piece(part, at)
            .catch((why: unknown) => {
              failure ??= why
            })
            .finally(() => under.delete(work))
          under.add(work)
          at += part.length
        }
      },
      done: async () => {
        await Promise.all(under)
        settled()
      },
    }
  }

  async closeFile(handle: Buffer): Promise<void> {
    const { body, type } = await this.#ask(SFTP.close, string(handle))
    if (type !== SFTP.status || code(body) !== FX.ok) refused(type, body, '')
  }

  /** Why nothing comes any more: what waits is told. */
  fail(why: unknown): void {
    this.#failure ??= why
    this.#version?.reject(this.#failure)
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
    this.#waiting.clear()
  }

  send(bytes: Buffer, stream: 0 | 1, sent?: () => void): void {
    if (!this.#isOpen) return
    try {
      if (stream === 0) for (const frame of this.#frames.push(Buffer.from(bytes))) this.#answered(frame)
    } catch (failure) {
      this.fail(failure)
      this.closeNow()
    }
    sent?.()
  }

  after(run: () => void): void {
    if (this.#isOpen) run()
  }

  drop(): void {
    return undefined
  }

  credit(): void {
    return undefined
  }

  eof(): void {
    return undefined
  }

  close(): void {
    this.closeNow()
  }

  closeNow(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    queueMicrotask(this.#onClosed)
  }

  abandon(): void {
    this.closeNow()
  }

  tell(): void {
    return undefined
  }

  async #open(path: string, flags: number): Promise<Buffer> {
    const { body, type } = await this.#ask(SFTP.open, string(path), uint32(flags), uint32(0))
    return type === SFTP.handle ? Buffer.from(body.string(256)) : refused(type, body, path)
  }

  #ask(type: number, ...fields: readonly Uint8Array[]): Promise<Answer> {
    if (this.#failure !== undefined || !this.#isOpen)
      return Promise.reject(this.#failure ?? new Refusal('TARGET_UNREACHABLE', 'The target closed the connection.'))
    const id = this.#next++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#say(message(type, uint32(id), ...fields))
    })
  }

  #say(body: Buffer): void {
    this.#input(string(body))
  }

  #answered(frame: Buffer): void {
    const body = new Reader(Buffer.from(frame), 4)
    const type = body.byte()
    if (type === SFTP.version) return this.#version?.resolve({ type, body })
    const id = body.uint32()
    const waiter = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiter?.resolve({ type, body })
  }
}

const ATTRIBUTES = 105

/** Of a status, which is still to be read. */
const code = (body: Reader): number => body.peek()

/** @throws {Refusal} in any case. */
function refused(type: number, body: Reader, path: string): never {
  if (type !== SFTP.status) throw new MalformedMessage(`An SFTP answer of type ${type}.`)
  const why = body.uint32()
  const text = body.text(1024)
  const name = path === '' ? 'The file' : path
  if (why === FX.noSuchFile) throw new Refusal('NOT_FOUND', `There is no ${path === '' ? 'such file' : path}.`)
  if (why === FX.denied)
    throw new Refusal(
      'NOT_ALLOWED',
      /^permission denied$/i.test(text) ? `${name}: the target does not allow it.` : text,
    )
  throw new Refusal('CONFLICT', `${name}: the target said “${text}”.`)
}
