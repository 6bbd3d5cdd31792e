/** The inner door: what arrived at the wrong worker goes to the right one, over a unix socket per worker that only this user can open. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { Log } from './model/log.ts'
import type { BackAsk, PageClaim } from './session/session.ts'

/** A PostgreSQL CancelRequest: the key proves itself to the worker that issued it. */
export type Cancel = { readonly kind: 'cancel'; readonly processId: number; readonly key: Buffer }
export type Errand = Cancel
/** A browser that comes back to a shell which this worker keeps; what follows on the stream are its messages. */
export type Return = { readonly kind: 'return'; readonly claim: PageClaim; readonly ask: BackAsk }

export type InnerDoor = {
  /** Best effort, like a CancelRequest itself: a worker that is not there gets nothing. */
  send(worker: number, errand: Errand): void
  /** The stream to that worker. It is destroyed where nobody answers. */
  open(worker: number, errand: Return): Duplex
  close(): Promise<void>
}

export type InnerDoorParts = {
  /** `<dataDir>/inner` */
  readonly dir: string
  readonly worker: number
  readonly log: Log
  readonly onErrand: (errand: Errand) => void
  readonly onReturn: (errand: Return, stream: Duplex) => void
}

const MAX_BYTES = 1024
const PATIENCE_MS = 2000
const LINE_END = 0x0a
const pathOf = (dir: string, worker: number): string => join(dir, `worker-${worker}.sock`)

export async function openInnerDoor({ dir, worker, log, ...parts }: InnerDoorParts): Promise<InnerDoor> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const path = pathOf(dir, worker)
  rmSync(path, { force: true }) // of a worker with this number that died
  const server = createServer((socket) => receive(socket, parts, log))
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, () => resolve())
  })
  chmodSync(path, 0o600)
  return {
    send(other, errand) {
      const socket = connect(pathOf(dir, other))
      socket.on('error', (error) =>
        log({ level: 'debug', room: 'inner-door', message: 'a worker does not answer', details: { other }, error }),
      )
      socket.end(`${JSON.stringify({ ...errand, key: errand.key.toString('base64') })}\n`)
    },
    open(other, errand) {
      const socket = connect(pathOf(dir, other))
      socket.on('error', (error) =>
        log({ level: 'debug', room: 'inner-door', message: 'a worker does not answer', details: { other }, error }),
      )
      socket.write(`${JSON.stringify(errand)}\n`)
      return socket
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** One errand a connection: a line of JSON, and for a return what follows it. */
function receive(socket: Socket, parts: Pick<InnerDoorParts, 'onErrand' | 'onReturn'>, log: Log): void {
  let held = Buffer.alloc(0)
  const strange = () => {
    log({ level: 'warn', room: 'inner-door', message: 'an errand could not be read' })
    socket.destroy()
  }
  const hear = (chunk: Buffer) => {
    held = Buffer.concat([held, chunk])
    const end = held.indexOf(LINE_END)
    if (end < 0) return held.length > MAX_BYTES ? strange() : undefined
    const errand = end > MAX_BYTES ? undefined : read(held.toString('utf8', 0, end))
    if (errand === undefined) return strange()
    socket.off('data', hear)
    socket.setTimeout(0)
    if (errand.kind === 'cancel') {
      socket.end()
      return parts.onErrand(errand)
    }
    socket.pause()
    if (held.length > end + 1) socket.unshift(held.subarray(end + 1))
    return parts.onReturn(errand, socket)
  }
  socket.setTimeout(PATIENCE_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', hear)
}

function read(text: string): Errand | Return | undefined {
  try {
    const { kind, processId, key, claim, ask } = JSON.parse(text) as Record<string, unknown>
    // Whoever can open this socket is a worker of ours, which has looked at all of this.
    if (kind === 'return' && isObject(claim) && isObject(ask))
      return { kind, claim: claim as PageClaim, ask: ask as BackAsk }
    if (kind !== 'cancel' || typeof processId !== 'number' || typeof key !== 'string') return undefined
    return { kind, processId, key: Buffer.from(key, 'base64') }
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
