/** A client's wish for a TCP connection (RFC 4254 §7.2): refused, answered by ourselves as an inner SSH, or forwarded. */
import type { Duplex } from 'node:stream'
import type { Channel, ChannelEvents } from './channel.ts'
import { type OpenRequest, PROHIBITED } from './channels.ts'
import type { TcpipRequest } from './contract.ts'
import { ChannelStream } from './duplex.ts'

export class Tcpip implements TcpipRequest {
  readonly host: string
  readonly port: number
  readonly originHost: string
  readonly originPort: number
  readonly #open: OpenRequest
  readonly #serve: (stream: Duplex, target: string) => void

  /** @throws {MalformedMessage} */
  constructor(open: OpenRequest, serve: (stream: Duplex, target: string) => void) {
    this.#open = open
    this.#serve = serve
    this.host = open.body.text(256)
    this.port = open.body.uint32()
    this.originHost = open.body.text(256)
    this.originPort = open.body.uint32()
    open.body.end()
  }

  answered = false

  refuse(text: string): void {
    this.fail(PROHIBITED, text)
  }

  /** What refuses because the other end could not be reached. */
  fail(code: number, text: string): void {
    if (this.answered) return
    this.answered = true
    this.#open.refuse(code, text)
  }

  accept(events: ChannelEvents): Channel {
    this.answered = true
    return this.#open.accept(events)
  }

  jump(target: string): void {
    const stream = new ChannelStream()
    stream.attach(this.accept(stream.events))
    this.#serve(stream, target)
  }
}
