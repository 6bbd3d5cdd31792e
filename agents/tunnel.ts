/** One line to one worker of the gateway: dialled out, host key pinned, offers made, streams carried to where this agent's own settings say. */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import ssh2, { type AnyAuthMethod, type ClientChannel } from 'ssh2'
import type { Gateway, Offers, Protocol } from './settings.ts'

export type Line = {
  readonly worker: number
  readonly workers: number
  /** Resolves with a sentence once the line is gone. */
  readonly gone: Promise<string>
  /** Tells the gateway what can be reached here; until then nothing is. */
  offer(): void
  close(): void
}

export type LineParts = {
  readonly gateway: Gateway
  readonly agent: string
  /** OpenSSH's format. */
  readonly key: string
  readonly version: string
  /** What it says of itself behind the version. */
  readonly about?: string | undefined
  readonly offers: Offers
  /** Serves the agent's own shell on a stream. */
  readonly shell: (stream: Duplex) => void
  readonly say: (sentence: string) => void
  /** At the first time: the token's secret, the shell's host key, and who takes the CA that the gateway names. */
  readonly enrol?:
    | {
        readonly secret: string
        readonly shellKey: string
        readonly authority: (line: string) => void
      }
    | undefined
}

/** What a protocol's offer is called on the wire. */
const PORTS: Readonly<Record<Protocol, number>> = { ssh: 22, postgres: 5432, http: 80 }
const KEEPALIVE_MS = 8_000
const CONNECT_MS = 15_000
const MOST_SAID = 200
const BANNER = /sallyport worker (\d{1,3}) of (\d{1,3})/

/** @throws {Error} with a sentence: not reached, not the pinned gateway, or not let in. */
export function openLine(parts: LineParts): Promise<Line> {
  const { agent, gateway, offers, say } = parts
  const client = new ssh2.Client()
  const username = `agent/${agent}`
  let place = { worker: 0, workers: 1 }
  let distrust = false
  let failure: string | undefined
  const { promise: gone, resolve: end } = Promise.withResolvers<string>()
  client.on('banner', (text) => {
    const [, worker, workers] = BANNER.exec(text) ?? []
    if (worker !== undefined && workers !== undefined) place = { worker: Number(worker), workers: Number(workers) }
  })
  client.on('tcp connection', ({ destIP, destPort }, accept, reject) => {
    const protocol = (Object.keys(PORTS) as Protocol[]).find((name) => PORTS[name] === destPort)
    const offer = protocol === undefined ? undefined : offers.get(destIP)?.get(protocol)
    if (offer === undefined) return reject()
    if (offer.kind === 'shell') return parts.shell(quiet(accept()))
    return carry(offer, accept, reject)
  })
  client.on('error', (error) => {
    failure ??= distrust
      ? 'Somebody else answers there: its host key is not the one that was pinned.'
      : 'level' in error && error.level === 'client-authentication'
        ? 'The gateway does not let this agent in: it was revoked, or its token is wrong, used or too old.'
        : error.message
  })
  const offer = (): void => {
    for (const [target, those] of offers)
      for (const protocol of those.keys())
        client.forwardIn(target, PORTS[protocol], (refused) => {
          if (refused !== undefined) say(`The gateway does not take ${protocol} of ${target} from this agent.`)
        })
  }
  return new Promise((resolve, reject) => {
    client.once('close', () => {
      const why = failure ?? 'The gateway closed the line.'
      end(why)
      reject(new Error(why))
    })
    client.once('ready', () => {
      client.setNoDelay(true)
      resolve({ ...place, gone, offer, close: () => client.end() })
    })
    client.connect({
      host: gateway.host,
      port: gateway.port,
      username,
      ident: identification(parts),
      hostVerifier: (shown: Buffer) => {
        const [, pinned = ''] = gateway.hostKey.split(' ')
        distrust = !shown.equals(Buffer.from(pinned, 'base64'))
        return !distrust
      },
      algorithms: { serverHostKey: ['ssh-ed25519'] },
      keepaliveInterval: KEEPALIVE_MS,
      keepaliveCountMax: 3,
      readyTimeout: CONNECT_MS,
      authHandler: methodsOf(parts, username),
    })
  })
}

/** The key, and the first time the token: asked for by the pinned gateway only, after the key was proven. */
function methodsOf({ enrol, key }: LineParts, username: string): AnyAuthMethod[] {
  const byKey: AnyAuthMethod = { type: 'publickey', username, key }
  if (enrol === undefined) return [byKey]
  return [
    byKey,
    {
      type: 'keyboard-interactive',
      username,
      prompt: (_name, authority, _language, _prompts, finish) => {
        enrol.authority(authority.trim())
        finish([enrol.secret, enrol.shellKey])
      },
    },
  ]
}

/** RFC 4253 §4.2: at most 255 characters of ASCII in all; what follows the version is a comment. */
function identification({ about, version }: LineParts): string {
  const comment = about === undefined ? '' : ` ${about.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, MOST_SAID)}`
  return `Sallyport_agent_${version}${comment}`
}

function carry(
  { host, port }: { readonly host: string; readonly port: number },
  accept: () => ClientChannel,
  reject: () => void,
): void {
  const socket = connect({ host, port, noDelay: true, keepAlive: true, allowHalfOpen: true })
  socket.once('error', () => reject())
  socket.once('connect', () => {
    const channel = quiet(accept())
    socket.removeAllListeners('error').on('error', () => channel.destroy())
    channel.on('close', () => socket.destroy())
    socket.on('close', () => channel.end())
    channel.pipe(socket).pipe(channel)
  })
}

/** A lost line takes its channels along; their errors say nothing new. */
function quiet(channel: ClientChannel): ClientChannel {
  channel.on('error', () => undefined)
  return channel
}
