/** One line to one worker of the gateway: dialled out, host key pinned, offers made, streams carried to where this agent's own settings say. */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { dialLine, type StreamRequest } from '../gateway/ssh/ssh.ts'
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
const MOST_SAID = 200
const BANNER = /sallyport worker (\d{1,3}) of (\d{1,3})/

/** @throws {Error} with a sentence: not reached, not the pinned gateway, or not let in. */
export async function openLine(parts: LineParts): Promise<Line> {
  const { agent, enrol, gateway, key, offers, say } = parts
  const line = await dialLine({
    gateway,
    key,
    username: `agent/${agent}`,
    ident: identification(parts),
    // Asked for by the pinned gateway only, after the key was proven.
    answer:
      enrol &&
      ((said) => {
        enrol.authority(said.trim())
        return [enrol.secret, enrol.shellKey]
      }),
    onStream: (request) => {
      const protocol = (Object.keys(PORTS) as Protocol[]).find((name) => PORTS[name] === request.port)
      const offer = protocol === undefined ? undefined : offers.get(request.name)?.get(protocol)
      if (offer === undefined) request.refuse('not offered')
      else if (offer.kind === 'shell') parts.shell(request.accept())
      else carry(offer, request)
    },
  })
  const [, worker = 0, workers = 1] = BANNER.exec(line.greeting) ?? []
  return {
    worker: Number(worker),
    workers: Number(workers),
    gone: line.gone,
    offer: () => {
      for (const [target, those] of offers)
        for (const protocol of those.keys())
          line.offer(target, PORTS[protocol], () =>
            say(`The gateway does not take ${protocol} of ${target} from this agent.`),
          )
    },
    close: () => line.close(),
  }
}

/** RFC 4253 §4.2: at most 255 characters of ASCII in all; what follows the version is a comment. */
function identification({ about, version }: LineParts): string {
  const comment = about === undefined ? '' : ` ${about.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, MOST_SAID)}`
  return `Sallyport_agent_${version}${comment}`
}

function carry({ host, port }: { readonly host: string; readonly port: number }, request: StreamRequest): void {
  const socket = connect({ host, port, noDelay: true, keepAlive: true, allowHalfOpen: true })
  const refuse = () => request.refuse('not reached')
  socket.once('error', refuse)
  socket.once('connect', () => {
    socket.off('error', refuse)
    request.join(socket)
  })
}
