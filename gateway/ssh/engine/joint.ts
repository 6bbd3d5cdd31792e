/** A channel and a socket, joined: each side may send as much as the other has taken, and what moves between them moves in memory that is used again. */
import type { Socket } from 'node:net'
import { Blocks } from './blocks.ts'
import { type Channel, type ChannelEvents, MAX_MESSAGE } from './channel.ts'
import type { Ssh2 } from './ssh2.ts'

/** Less than this is copied into pooled memory for next to nothing. */
const SMALL = 4096
const MOST_BLOCKS = 64
/** Who has closed a channel waits no longer for a socket that takes nothing. */
const LAST_MS = 1_000

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
    const opened = accept({
      borrows: true,
      data: (bytes) => this.#write(socket, bytes, () => channel?.credit(bytes.length)),
      eof: () => socket.end(),
      request: () => false,
      closed: () => {
        channel?.closeNow()
        socket.destroySoon()
        const late = setTimeout(() => socket.destroy(), LAST_MS)
        socket.once('close', () => clearTimeout(late))
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

  /** What comes in one tick leaves in one system call. */
  #write(socket: Socket, lent: Buffer, written: () => void): void {
    const block = lent.length < SMALL ? undefined : this.#blocks.take()
    block?.set(lent)
    if (socket.writableCorked === 0) {
      socket.cork()
      process.nextTick(() => socket.uncork())
    }
    socket.write(block?.subarray(0, lent.length) ?? Buffer.from(lent), (failure) => {
      if (block !== undefined && !failure) this.#blocks.release(block)
      written()
    })
  }
}
