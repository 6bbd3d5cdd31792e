/** The inner door: what arrived at the wrong worker goes to the right one, over a unix socket per worker that only this user can open. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Log } from './model/log.ts'

/** A PostgreSQL CancelRequest: the key proves itself to the worker that issued it. */
export type Cancel = { readonly kind: 'cancel'; readonly processId: number; readonly key: Buffer }
export type Errand = Cancel

export type InnerDoor = {
  /** Best effort, like a CancelRequest itself: a worker that is not there gets nothing. */
  send(worker: number, errand: Errand): void
  close(): Promise<void>
}

export type InnerDoorParts = {
  /** `<dataDir>/inner` */
  readonly dir: string
  readonly worker: number
  readonly log: Log
  readonly onErrand: (errand: Errand) => void
}

const MAX_BYTES = 1024
const PATIENCE_MS = 2000
const pathOf = (dir: string, worker: number): string => join(dir, `worker-${worker}.sock`)

export async function openInnerDoor({ dir, worker, log, onErrand }: InnerDoorParts): Promise<InnerDoor> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const path = pathOf(dir, worker)
  rmSync(path, { force: true }) // of a worker with this number that died
  const server = createServer((socket) => receive(socket, onErrand, log))
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
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** One errand a connection: a line of JSON. */
function receive(socket: Socket, onErrand: InnerDoorParts['onErrand'], log: Log): void {
  let text = ''
  socket.setTimeout(PATIENCE_MS, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    text += chunk.toString()
    if (text.length > MAX_BYTES) socket.destroy()
  })
  socket.on('end', () => {
    socket.end()
    const errand = read(text)
    if (errand === undefined) log({ level: 'warn', room: 'inner-door', message: 'an errand could not be read' })
    else onErrand(errand)
  })
}

function read(text: string): Errand | undefined {
  try {
    const { kind, processId, key } = JSON.parse(text) as Record<string, unknown>
    if (kind !== 'cancel' || typeof processId !== 'number' || typeof key !== 'string') return undefined
    return { kind, processId, key: Buffer.from(key, 'base64') }
  } catch {
    return undefined
  }
}
