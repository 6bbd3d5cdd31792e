/** A channel and a socket, joined: each side may send as much as the other has taken, and what moves between them moves in memory that is used again. */
import type { Socket } from 'node:net'
import { Blocks } from './blocks.ts'
import { type Channel, type ChannelEvents, MAX_MESSAGE } from './channel.ts'
import { Gathered } from './gathered.ts'
import type { Ssh2 } from './ssh2.ts'

/** Less than this is copied into pooled memory for next to nothing. */
const SMALL = 4096
const MOST_BLOCKS = 64
/** Who has closed a channel waits no longer for a socket that takes nothing. */
const LAST_MS = 1_000

/** Of `block`, where it has one to give back. */
type Kept = { readonly bytes: Buffer; readonly block: Buffer | undefined }

/** What the joints of one connection share. */
export class Joints {
  readonly #ssh2: Pick<Ssh2, 'reads' | 'blocks'>
  readonly #blocks = new Blocks(MAX_MESSAGE, MOST_BLOCKS)

  constructor(ssh2: Pick<Ssh2, 'reads' | 'blocks'>) {
    this.#ssh2 = ssh2
  }

  /** @param socket connected, and half open when one side is done. `accept` opens the channel. */
  join(socket: Socket, accept: (events: ChannelEvents) => Channel): void {
    // It is over already when the connection went while the socket was being connected.
    let channel: Channel | undefined
    const late = new Gathered(() => this.#blocks.take())
    /** What was gathered follows the write that it waited for. */
    const write = ({ block, bytes }: Kept): void => {
      // What comes in one tick leaves in one system call.
      if (socket.writableCorked === 0) {
        const wasIdle = socket.writableLength === 0
        socket.cork()
        process.nextTick(() => {
          if (wasIdle) flush()
          socket.uncork()
        })
      }
      socket.write(bytes, (failure) => {
        if (block !== undefined && !failure) this.#blocks.release(block)
        channel?.credit(bytes.length)
        flush()
      })
    }
    const flush = (): void => {
      for (let next = late.next(); next !== undefined; next = late.next())
        write({ bytes: next.bytes.subarray(0, next.length), block: next.bytes })
    }
    const opened = accept({
      borrows: true,
      data: (bytes) => {
        if (bytes.length < SMALL && socket.writableLength > 0) {
          late.add(bytes)
          return
        }
        flush()
        write(this.#kept(bytes))
      },
      eof: () => {
        flush()
        socket.end()
      },
      request: () => false,
      closed: () => {
        flush()
        channel?.closeNow()
        socket.destroySoon()
        const timer = setTimeout(() => socket.destroy(), LAST_MS)
        socket.once('close', () => clearTimeout(timer))
      },
    })
    channel = opened
    const { blocks, reads } = this.#ssh2
    const pass = (lent: Buffer): void => {
      if (opened.takes(lent.length)) return opened.send(lent, 0)
      // It waits for its window; so does the socket.
      const block = blocks.take()
      block.set(lent)
      socket.pause()
      return opened.send(block.subarray(0, lent.length), 0, () => {
        blocks.release(block)
        socket.resume()
      })
    }
    socket.on('error', () => undefined)
    socket.on('end', () => opened.eof())
    socket.on('close', () => opened.close())
    socket.on('data', pass)
    reads.take(socket, pass)
  }

  #kept(lent: Buffer): Kept {
    if (lent.length < SMALL) return { bytes: Buffer.from(lent), block: undefined }
    const block = this.#blocks.take()
    block.set(lent)
    return { bytes: block.subarray(0, lent.length), block }
  }
}
