/** The other end of an agent's line: dials a gateway whose key is pinned, logs in with one key, and serves the streams that the gateway opens. */
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { plain } from '../screen/text.ts'
import { clientOffer } from './algorithms.ts'
import { Channels, CONNECT_FAILED, type OpenRequest, PROHIBITED } from './channels.ts'
import { ChannelStream } from './duplex.ts'
import { Joints } from './joint.ts'
import { keyCredential, Login } from './login.ts'
import { loadSsh2 } from './ssh2.ts'
import { Transport } from './transport.ts'
import { string, uint32 } from './wire.ts'

const CONNECT_MS = 15_000
const KEEPALIVE_MS = 8_000
/** SSH_DISCONNECT_BY_APPLICATION */
const BY_APPLICATION = 11
const MAX_STREAMS = 1_000
/** Of what a gateway says while it lets an agent in. */
const MOST_SAID = 4096
const MOST_LAST = 200
const EXT_INFO = 7

/** A stream that the gateway wants to what was offered under this name and port. Answer once. */
export type StreamRequest = {
  readonly name: string
  readonly port: number
  accept(): Duplex
  /** Bytes both ways, until both are done. The socket is connected, and allows to be half open. */
  join(socket: Socket): void
  refuse(why: 'not offered' | 'not reached'): void
}

export type DialParts = {
  readonly gateway: { readonly host: string; readonly port: number; readonly hostKey: string }
  readonly ident: string
  readonly username: string
  /** OpenSSH's format. */
  readonly key: string
  /** What else the gateway may ask for once the key was proven, given what it says as it asks. */
  readonly answer?: ((said: string) => readonly string[]) | undefined
  readonly onStream: (request: StreamRequest) => void
}

export type DialledLine = {
  /** What the gateway said as it let us in. */
  readonly greeting: string
  /** Resolves with a sentence once the line is gone. */
  readonly gone: Promise<string>
  /** Streams to this name and port are served here. */
  offer(name: string, port: number, refused: () => void): void
  close(): void
}

/** @throws {Error} with a sentence: not reached, not the pinned gateway, or not let in. */
export function dialLine(parts: DialParts): Promise<DialledLine> {
  const { gateway, username } = parts
  const ssh2 = loadSsh2()
  const [, pinned = ''] = gateway.hostKey.split(' ')
  const joints = new Joints(ssh2)
  const { promise: gone, resolve: end } = Promise.withResolvers<string>()
  return new Promise((resolve, reject) => {
    let greeting = ''
    let isIn = false
    let why: string | undefined
    const fail = (sentence: string): void => {
      why ??= sentence
      transport.destroy()
    }
    const timer = setTimeout(() => fail('The gateway did not answer in time.'), CONNECT_MS)
    const transport: Transport = new Transport({
      ssh2,
      stream: connect({ host: gateway.host, port: gateway.port, noDelay: true }),
      ident: parts.ident,
      offer: clientOffer({ hasAuthorities: false, types: ['ssh-ed25519'] }),
      role: {
        kind: 'client',
        verifyHost: (shown) => {
          const isPinned = shown.equals(Buffer.from(pinned, 'base64'))
          if (!isPinned) why ??= 'Somebody else answers there: its host key is not the one that was pinned.'
          return isPinned
        },
      },
      onReady: () => login.begin(),
      onMessage: (payload) => {
        const type = payload[0] ?? 0
        if (type === EXT_INFO) return
        if (type >= 80 !== isIn) fail('The gateway said something out of its turn.')
        else if (isIn) channels.receive(payload)
        else login.receive(payload)
      },
      onDrain: () => channels.pump(),
      onClose: (cause) => {
        clearTimeout(timer)
        channels.lose()
        // They are shown to whoever runs the agent.
        const sentence = why ?? plain(cause?.message ?? 'The gateway closed the line.', MOST_LAST)
        end(sentence)
        reject(new Error(sentence))
      },
    })
    const login = new Login({
      transport,
      account: username,
      credential: keyCredential(ssh2, Buffer.from(parts.key)),
      banner: (text) => {
        greeting += text
        if (greeting.length > MOST_SAID) fail('The gateway has too much to say.')
      },
      answer: parts.answer,
      done: (failure) => {
        clearTimeout(timer)
        if (failure !== undefined)
          return fail('The gateway does not let this agent in: it was revoked, or its token is wrong, used or too old.')
        isIn = true
        transport.keepAlive(KEEPALIVE_MS)
        return resolve({
          greeting,
          gone,
          offer: (name, port, refused) => {
            const answered = (isTaken: boolean) => (isTaken ? undefined : refused())
            channels.ask('tcpip-forward', answered, string(name), uint32(port))
          },
          close: () => transport.disconnect(BY_APPLICATION, ''),
        })
      },
    })
    const channels: Channels = new Channels({
      transport,
      most: MAX_STREAMS,
      onOpen: (request) =>
        request.type === 'forwarded-tcpip'
          ? parts.onStream(streamRequest(request, joints))
          : request.refuse(PROHIBITED, 'An agent serves streams to what it offers.'),
    })
  })
}

/** @throws {MalformedMessage} */
function streamRequest(request: OpenRequest, joints: Joints): StreamRequest {
  return {
    name: request.body.text(256),
    port: request.body.uint32(),
    accept: () => {
      const stream = new ChannelStream()
      // A lost line takes its streams along; their errors say nothing new.
      stream.on('error', () => undefined)
      stream.attach(request.accept(stream.events))
      return stream
    },
    join: (socket) => joints.join(socket, (events) => request.accept(events)),
    refuse: (why) => request.refuse(why === 'not offered' ? PROHIBITED : CONNECT_FAILED, `It is ${why}.`),
  }
}
