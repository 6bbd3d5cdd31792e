/** SFTP between client and target: passed on frame by frame, each file operation judged before and recorded after. Contents are not recorded, their length and SHA-256 are. */
import { createHash, type Hash } from 'node:crypto'
import type { FileRecord } from '../../model/event.ts'
import { MalformedMessage } from '../../model/refusal.ts'
import { ALLOW, type Verdict } from '../../model/statement.ts'
import type { Session } from '../../session/session.ts'
import type { Stream } from './channel.ts'
import type { Ends, Lane } from './relay.ts'
import { DENIED, Frames, SFTP, status, UNSUPPORTED } from './sftp-frames.ts'
import { type FileRequest, readFileRequest } from './sftp-requests.ts'
import { Reader } from './wire.ts'

/** Pure: may this be done to that file? */
export type FileRule = (operation: FileRecord['operation'], path: string, to: string | undefined) => Verdict

type OpenFile = {
  readonly operation: 'read' | 'write' | 'list'
  readonly path: string
  readonly n: number
  readonly since: number
  bytes: number
  next: bigint
  hash: Hash | undefined
}

type Pending =
  | { readonly kind: 'open'; readonly file: OpenFile }
  | { readonly kind: 'read'; readonly file: OpenFile | undefined; readonly offset: bigint }
  | { readonly kind: 'close'; readonly handle: string }
  | { readonly kind: 'change'; readonly record: Omit<FileRecord, 'result'>; readonly n: number; readonly since: number }
  | { readonly kind: 'look'; readonly path: string }
  | { readonly kind: 'other' }

const MAX_PENDING = 16_384
const MAX_OPEN = 1024

export const sftpLane =
  (session: Session, rule: FileRule = () => ALLOW) =>
  (ends: Ends): Lane =>
    new SftpLane(session, rule, ends)

class SftpLane implements Lane {
  readonly #session: Session
  readonly #rule: FileRule
  readonly #ends: Ends
  readonly #up = new Frames()
  readonly #down = new Frames()
  readonly #pending = new Map<number, Pending>()
  readonly #open = new Map<string, OpenFile>()

  constructor(session: Session, rule: FileRule, ends: Ends) {
    this.#session = session
    this.#rule = rule
    this.#ends = ends
  }

  fromClient(bytes: Buffer): void {
    for (const frame of this.#up.push(Buffer.from(bytes))) this.#request(frame)
  }

  fromTarget(bytes: Buffer, stream: Stream): void {
    if (stream === 1) {
      this.#session.road.bytes('e', bytes, () => this.#ends.toClient(bytes, 1, bytes.length))
      return
    }
    for (const frame of this.#down.push(Buffer.from(bytes))) this.#response(frame)
  }

  end(): void {
    for (const file of this.#open.values()) this.#closed(file, 'failed', 'It was not closed.')
    this.#open.clear()
  }

  #request(frame: Buffer): void {
    const reader = new Reader(frame, 4)
    const type = reader.byte()
    if (type === SFTP.init) return this.#toTarget(frame)
    const id = reader.uint32()
    const request = readFileRequest(type, reader)
    if (this.#pending.has(id) || this.#pending.size >= MAX_PENDING)
      throw new MalformedMessage('Too many SFTP requests at once, or one number twice.')
    switch (request.kind) {
      case 'open':
        return this.#judge(frame, id, request.operation, request.path, undefined, (n) => ({
          kind: 'open',
          file: newFile(request.operation, request.path, n),
        }))
      case 'change': {
        const { operation, path, to } = request
        return this.#judge(frame, id, operation, path, to, (n) => ({
          kind: 'change',
          n,
          since: performance.now(),
          record: { operation, path, ...(to === undefined ? {} : { to }) },
        }))
      }
      case 'change-open': {
        const path = this.#open.get(request.handle)?.path ?? ''
        return this.#judge(frame, id, 'setstat', path, undefined, (n) => ({
          kind: 'change',
          n,
          since: performance.now(),
          record: { operation: 'setstat', path },
        }))
      }
      case 'unknown':
        return this.#answer(frame, id, UNSUPPORTED, `${request.name} is not passed on.`)
      case 'read':
      case 'write':
      case 'close':
      case 'look':
      case 'other':
        this.#pending.set(id, this.#follow(request))
        return this.#toTarget(frame)
    }
    return undefined
  }

  #follow(request: Exclude<FileRequest, { kind: 'open' | 'change' | 'change-open' | 'unknown' }>): Pending {
    switch (request.kind) {
      case 'read':
        return { kind: 'read', file: this.#open.get(request.handle), offset: request.offset }
      case 'write': {
        const file = this.#open.get(request.handle)
        if (file !== undefined) count(file, request.offset, request.data)
        return { kind: 'other' }
      }
      case 'close':
        return { kind: 'close', handle: request.handle }
      case 'look':
        return { kind: 'look', path: request.path }
      case 'other':
        return request
    }
    return request satisfies never
  }

  #judge(
    frame: Buffer,
    id: number,
    operation: FileRecord['operation'],
    path: string,
    to: string | undefined,
    pending: (n: number) => Pending,
  ): void {
    const verdict = this.#rule(operation, path, to)
    const statement = { kind: 'file', text: [operation, path, ...(to === undefined ? [] : [to])].join(' ') } as const
    const n = this.#session.road.statement(
      { statement, verdict },
      () => this.#ends.toTarget(frame, frame.length),
      (refused) => {
        const reason = refused.decision === 'allow' ? '' : refused.reason
        this.#record({ operation, path, ...(to === undefined ? {} : { to }), result: 'denied', detail: reason })
        this.#reply(frame, id, DENIED, reason)
      },
    )
    if (verdict.decision !== 'allow') return
    if (this.#open.size >= MAX_OPEN) throw new MalformedMessage('Too many open files.')
    this.#pending.set(id, pending(n))
  }

  #response(frame: Buffer): void {
    const reader = new Reader(frame, 4)
    const type = reader.byte()
    if (type !== SFTP.version) this.#settle(type, reader)
    this.#session.road.pass(() => this.#ends.toClient(frame, 0, frame.length))
  }

  #settle(type: number, reader: Reader): void {
    const id = reader.uint32()
    const pending = this.#pending.get(id)
    if (pending === undefined) throw new MalformedMessage('An SFTP answer that nobody asked for.')
    this.#pending.delete(id)
    const isFailed = type === SFTP.status && reader.uint32() !== 0
    switch (pending.kind) {
      case 'open':
        if (type === SFTP.handle) this.#open.set(reader.string(256).toString('hex'), pending.file)
        else this.#closed(pending.file, 'failed', 'The target refused.')
        return
      case 'read':
        if (type === SFTP.data && pending.file !== undefined)
          count(pending.file, pending.offset, reader.string(256 * 1024))
        return
      case 'close': {
        const file = this.#open.get(pending.handle)
        this.#open.delete(pending.handle)
        if (file !== undefined) this.#closed(file, isFailed ? 'failed' : 'done')
        return
      }
      case 'change': {
        const result = isFailed ? 'failed' : 'done'
        this.#record({ ...pending.record, result })
        this.#outcome(pending.n, pending.since, result, {})
        return
      }
      case 'look':
        this.#record({ operation: 'stat', path: pending.path, result: isFailed ? 'failed' : 'done' })
        return
      case 'other':
    }
  }

  #closed(file: OpenFile, result: 'done' | 'failed', detail?: string): void {
    const { bytes, operation, path } = file
    const sha256 = operation === 'list' ? undefined : file.hash?.digest('hex')
    const passed = {
      ...(operation === 'list' ? {} : { bytes }),
      ...(sha256 === undefined || result === 'failed' ? {} : { sha256 }),
    }
    this.#record({ operation, path, ...passed, result, ...(detail === undefined ? {} : { detail }) })
    this.#outcome(file.n, file.since, result, passed)
  }

  #outcome(n: number, since: number, result: 'done' | 'failed', passed: { bytes?: number; sha256?: string }): void {
    const ms = Math.round(performance.now() - since)
    this.#session.road.outcome({ n, result: result === 'done' ? 'done' : 'error', ms, ...passed })
  }

  #record(record: FileRecord): void {
    try {
      this.#session.recording.take('f', JSON.stringify(record))
    } catch {
      // The journal is broken: the road finds out the same, and cuts.
      this.#session.road.pass(() => undefined)
    }
  }

  #toTarget(frame: Buffer): void {
    this.#session.road.pass(() => this.#ends.toTarget(frame, frame.length))
  }

  #answer(frame: Buffer, id: number, code: number, text: string): void {
    this.#session.road.pass(() => this.#reply(frame, id, code, text))
  }

  /** In the target's place. The client's window for the request is given back by an empty delivery. */
  #reply(frame: Buffer, id: number, code: number, text: string): void {
    this.#ends.toTarget(Buffer.alloc(0), frame.length)
    this.#ends.toClient(status(id, code, text), 0, 0)
  }
}

const newFile = (operation: OpenFile['operation'], path: string, n: number): OpenFile => ({
  operation,
  path,
  n,
  since: performance.now(),
  bytes: 0,
  next: 0n,
  hash: createHash('sha256'),
})

/** The hash is of the whole content only while the bytes come in order from the start. */
function count(file: OpenFile, offset: bigint, data: Buffer): void {
  file.bytes += data.length
  if (offset === file.next) file.hash?.update(data)
  else file.hash = undefined
  file.next = offset + BigInt(data.length)
}
