/** A browser's messages on a stream between two workers: the line of a page that came back at another door than its shell's. */
import type { Duplex } from 'node:stream'
import type { FromPage, PageWire, ToPage } from './session/session.ts'

/** More than all that a shell keeps. */
const MOST = 2 * 1024 * 1024
const HEAD = 5
const BYTES = 1

/** The side that has the shell. */
export function wireOver(stream: Duplex): PageWire {
  return {
    send: (message) => stream.write(packed(message)),
    close: () => {
      stream.end()
      stream.resume()
    },
    onMessage: (listener) => unpack(stream, 'input', (message) => listener(message as FromPage)),
    onClose: (listener) => whenClosed(stream, listener),
  }
}

/** The side that has the browser. */
export function carry(wire: PageWire, stream: Duplex): void {
  let heard = false
  unpack(stream, 'output', (message) => {
    heard = true
    wire.send(message as ToPage)
  })
  wire.onMessage((message) => stream.write(packed(message)))
  wire.onClose(() => stream.destroy())
  whenClosed(stream, () => {
    // Nobody is there any more: the same words as for any shell that is gone.
    if (!heard) wire.send({ kind: 'refused', code: 'NOT_FOUND', text: 'This shell is gone.', next: 'Open a new one.' })
    wire.close()
  })
}

function packed(message: FromPage | ToPage): Buffer {
  const isBytes = message.kind === 'input' || message.kind === 'output'
  const body = isBytes ? message.bytes : Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(HEAD)
  head.writeUInt32BE(body.length)
  head[HEAD - 1] = isBytes ? BYTES : 0
  return Buffer.concat([head, body])
}

/** Whoever can open this stream is a worker of ours, which has read these messages before. */
function unpack(stream: Duplex, bytesAre: 'input' | 'output', listener: (message: unknown) => void): void {
  let held: Buffer = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    while (held.length >= HEAD) {
      const length = held.readUInt32BE()
      if (length > MOST) return void stream.destroy()
      if (held.length < HEAD + length) return undefined
      const body = held.subarray(HEAD, HEAD + length)
      const isBytes = held[HEAD - 1] === BYTES
      held = held.subarray(HEAD + length)
      listener(isBytes ? { kind: bytesAre, bytes: Buffer.from(body) } : JSON.parse(body.toString('utf8')))
    }
    return undefined
  })
  stream.resume()
}

function whenClosed(stream: Duplex, listener: () => void): void {
  if (stream.closed) listener()
  else stream.once('close', listener)
}
