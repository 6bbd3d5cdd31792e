/** All channels of one connection (RFC 4254): opening them both ways, and bringing each message to its channel. */
import { MalformedMessage } from '../../model/refusal.ts'
import { Channel, type ChannelEvents, MAX_PACKET, MIN_PACKET, type Stream, WINDOW } from './channel.ts'
import type { Transport } from './transport.ts'
import { byte, message, Reader, string, uint32 } from './wire.ts'

/** What a peer wants to open. Answer once, now or later. */
export type OpenRequest = {
  readonly type: string
  readonly body: Reader
  accept(events: ChannelEvents): Channel
  refuse(code: number, text: string): void
}

/** Codes of RFC 4254 §5.1. */
export const PROHIBITED = 1
export const CONNECT_FAILED = 2
export const UNKNOWN_TYPE = 3
const SHORTAGE = 4

/** Type, channel, length. */
const DATA_HEAD = 9

type Opening = { readonly events: ChannelEvents; readonly done: (outcome: Channel | Error) => void }

export class Channels {
  readonly #transport: Transport
  readonly #onOpen: (request: OpenRequest) => void
  readonly #most: number
  readonly #onForwardIn: ((name: string, port: number) => boolean) | undefined
  readonly #channels = new Map<number, Channel>()
  readonly #opening = new Map<number, Opening>()
  readonly #answers: ((isTaken: boolean) => void)[] = []
  #next = 0
  #deciding = 0

  constructor(parts: {
    readonly transport: Transport
    readonly onOpen: (request: OpenRequest) => void
    /** Channels that the peer may have open at once. */
    readonly most: number
    /** -R: left out, all are refused. */
    readonly onForwardIn?: (name: string, port: number) => boolean
  }) {
    this.#transport = parts.transport
    this.#onOpen = parts.onOpen
    this.#most = parts.most
    this.#onForwardIn = parts.onForwardIn
  }

  get size(): number {
    return this.#channels.size + this.#opening.size
  }

  /** @throws when the peer refuses. */
  open(type: string, events: ChannelEvents, ...body: readonly Uint8Array[]): Promise<Channel> {
    const id = this.#newId()
    return new Promise((resolve, reject) => {
      const done = (outcome: Channel | Error) => (outcome instanceof Error ? reject(outcome) : resolve(outcome))
      if (this.#transport.closed) {
        done(new Error('The connection is gone.'))
        return
      }
      this.#opening.set(id, { events, done })
      this.#transport.send(message(90, string(type), uint32(id), uint32(WINDOW), uint32(MAX_PACKET), ...body))
    })
  }

  /** A wish about the whole connection (RFC 4254 §4). Answers have no names: ask before the first keepalive. */
  ask(type: string, answered: (isTaken: boolean) => void, ...body: readonly Uint8Array[]): void {
    this.#answers.push(answered)
    this.#transport.send(message(80, string(type), byte(1), ...body))
  }

  pump(): void {
    for (const channel of this.#channels.values()) channel.pump()
  }

  /** The connection is gone. */
  lose(): void {
    for (const { done } of this.#opening.values()) done(new Error('The connection is gone.'))
    this.#opening.clear()
    for (const channel of this.#channels.values()) channel.lose()
  }

  /** Messages 80 to 100. @throws {MalformedMessage} */
  receive(payload: Buffer): void {
    if (payload[0] === 94) return this.#data(payload)
    const reader = new Reader(payload)
    const type = reader.byte()
    switch (type) {
      case 80:
        return this.#global(reader)
      // REQUEST_SUCCESS and REQUEST_FAILURE; where nothing was asked they answer keepalives.
      case 81:
      case 82:
        return this.#answers.shift()?.(type === 81)
      case 90:
        return this.#open(reader)
      case 91:
        return this.#confirmed(reader)
      case 92:
        return this.#refused(reader)
      default:
        return this.#toChannel(type, reader)
    }
  }

  /** Nearly all messages are of this type. */
  #data(payload: Buffer): void {
    const end = payload.length < DATA_HEAD ? 0 : DATA_HEAD + payload.readUInt32BE(5)
    if (end === 0 || end > payload.length) throw new MalformedMessage('A data message that ends too early.')
    this.#channel(payload.readUInt32BE(1))?.receiveData(payload.subarray(DATA_HEAD, end), 0)
  }

  /** Undefined: it is closed. */
  #channel(id: number): Channel | undefined {
    const channel = this.#channels.get(id)
    if (channel === undefined && id >= this.#next)
      throw new MalformedMessage(`A message for a channel that was never opened.`)
    return channel
  }

  #toChannel(type: number, reader: Reader): void {
    const channel = this.#channel(reader.uint32())
    if (channel === undefined) return undefined
    switch (type) {
      case 93:
        return channel.receiveWindow(reader.uint32())
      case 95:
        return channel.receiveData(...extended(reader))
      case 96:
        return channel.receiveEof()
      case 97:
        return channel.receiveClose()
      case 98:
        return channel.receiveRequest(reader.text(128), reader.boolean(), reader)
      case 99:
      case 100:
        return channel.receiveAnswer(type === 99)
      default:
        throw new MalformedMessage(`A message of type ${type}.`)
    }
  }

  /** RFC 4254 §7.1: -R is for agents; keepalives are answered by the refusal. */
  #global(reader: Reader): void {
    const type = reader.text(128)
    const wantsReply = reader.boolean()
    const isTaken = type === 'tcpip-forward' && this.#onForwardIn?.(reader.text(256), reader.uint32()) === true
    if (wantsReply) this.#transport.send(message(isTaken ? 81 : 82))
  }

  #open(reader: Reader): void {
    const type = reader.text(128)
    const remote = { id: reader.uint32(), window: reader.uint32(), packet: reader.uint32() }
    const refuse = (code: number, text: string) =>
      this.#transport.send(message(92, uint32(remote.id), uint32(code), string(text), string('')))
    if (remote.packet < MIN_PACKET) return refuse(SHORTAGE, `Packets of less than ${MIN_PACKET} bytes are not served.`)
    if (this.#channels.size + this.#deciding >= this.#most)
      return refuse(SHORTAGE, 'Too many channels on one connection.')
    this.#deciding += 1
    let isOpen = true
    const once = () => {
      if (!isOpen) throw new Error('A request to open a channel is answered once.')
      isOpen = false
      this.#deciding -= 1
    }
    this.#onOpen({
      type,
      body: reader,
      accept: (events) => {
        once()
        const id = this.#newId()
        this.#transport.send(message(91, uint32(remote.id), uint32(id), uint32(WINDOW), uint32(MAX_PACKET)))
        return this.#add(id, remote, events)
      },
      refuse: (code, text) => {
        once()
        refuse(code, text)
      },
    })
  }

  #confirmed(reader: Reader): void {
    const id = reader.uint32()
    const opening = this.#opening.get(id)
    if (opening === undefined) throw new MalformedMessage('A confirmation that nobody asked for.')
    const remote = { id: reader.uint32(), window: reader.uint32(), packet: reader.uint32() }
    if (remote.packet < MIN_PACKET) throw new MalformedMessage('A channel with packets that are too small.')
    // Not before: whoever waits is told when the connection ends for what was wrong with the answer.
    this.#opening.delete(id)
    opening.done(this.#add(id, remote, opening.events))
  }

  #refused(reader: Reader): void {
    const id = reader.uint32()
    const opening = this.#opening.get(id)
    if (opening === undefined) throw new MalformedMessage('A refusal that nobody asked for.')
    const why = new Error(`Refused (${reader.uint32()}): ${reader.text(1024)}`)
    this.#opening.delete(id)
    opening.done(why)
  }

  #add(
    id: number,
    remote: { readonly id: number; readonly window: number; readonly packet: number },
    events: ChannelEvents,
  ): Channel {
    const channel = new Channel({
      transport: this.#transport,
      remote,
      events,
      forget: () => this.#channels.delete(id),
    })
    this.#channels.set(id, channel)
    if (this.#transport.closed) channel.lose()
    return channel
  }

  /** Never used twice, so a late message can be told from a false one. */
  #newId(): number {
    this.#next += 1
    return this.#next - 1
  }
}

function extended(reader: Reader): [Buffer, Stream] {
  if (reader.uint32() !== 1) throw new MalformedMessage('Extended data that is not standard error.')
  return [reader.string(), 1]
}
