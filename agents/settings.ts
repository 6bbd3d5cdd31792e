/** What an agent keeps in its data directory, and the token that it was started with for the first time. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AGENT_TOKEN_PREFIX } from '../gateway/model/agent-token.ts'

/** Where an offer leads: the agent's own shell, or an address that is named here and nowhere else. */
export type Offer = { readonly kind: 'shell' } | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
export const PROTOCOLS = ['ssh', 'postgres', 'http'] as const
export type Protocol = (typeof PROTOCOLS)[number]
export type Offers = ReadonlyMap<string, ReadonlyMap<Protocol, Offer>>

export type Gateway = {
  readonly host: string
  readonly port: number
  /** `ssh-ed25519 AAAA…`: nobody else is spoken to. */
  readonly hostKey: string
}

export type Settings = {
  readonly gateway: Gateway
  readonly agent: string
  /** The CA whose certificates open the shell. */
  readonly userAuthority: string
  readonly offers: Offers
  /** Changes of overlays that wait here, of all sessions together. Left out: a gigabyte. */
  readonly keptMegabytes?: number | undefined
}

export type Token = {
  readonly gateway: Gateway
  readonly agent: string
  readonly targets: readonly string[]
  readonly secret: string
}

const NAME = /^[a-z][a-z0-9-]{0,62}$/
const KEY = /^ssh-ed25519 [A-Za-z0-9+/]{68}$/

const pathOf = (dir: string): string => join(dir, 'agent.json')

/** @throws {Error} with a sentence that never holds the token. */
export function readToken(text: string): Token {
  const wrong = new Error('This is not a token of `agent-token`.')
  if (!text.startsWith(AGENT_TOKEN_PREFIX) || text.length > 8192) throw wrong
  try {
    const said = asRecord(JSON.parse(Buffer.from(text.slice(AGENT_TOKEN_PREFIX.length), 'base64url').toString()))
    const { agent, hostKey, secret, targets } = said
    const names = Array.isArray(targets) ? targets.map(String) : []
    if (typeof agent !== 'string' || typeof hostKey !== 'string' || typeof secret !== 'string') throw wrong
    if (
      !NAME.test(agent) ||
      !KEY.test(hostKey) ||
      !/^[\w-]{43}$/.test(secret) ||
      !names.every((name) => NAME.test(name))
    )
      throw wrong
    return { gateway: { ...address(String(said['gateway'])), hostKey }, agent, secret, targets: names }
  } catch {
    throw wrong
  }
}

/** `ssh://host:port` or `host:port`. @throws {Error} */
export function address(text: string): { readonly host: string; readonly port: number } {
  const [, six, host, port = '22'] =
    /^(?:ssh:\/\/)?(?:\[([0-9a-fA-F:]+)\]|([\w.-]+))(?::(\d{1,5}))?\/?$/.exec(text) ?? []
  const found = six ?? host
  if (found === undefined || Number(port) > 65_535) throw new Error(`${text.slice(0, 80)} is not host:port.`)
  return { host: found, port: Number(port) }
}

/** `prod-web.ssh=shell`, `prod-db.postgres=127.0.0.1:5432`. @throws {Error} */
export function readOffers(lines: readonly string[]): Offers {
  const offers = new Map<string, Map<Protocol, Offer>>()
  for (const line of lines) {
    const [, target = '', protocol = '', where = ''] = /^([a-z0-9-]+)\.(\w+)=(.+)$/.exec(line) ?? []
    addOffer(offers, target, protocol, where)
  }
  return offers
}

function addOffer(offers: Map<string, Map<Protocol, Offer>>, target: string, protocol: string, where: string): void {
  const known = PROTOCOLS.find((name) => name === protocol)
  if (!NAME.test(target) || known === undefined)
    throw new Error('An offer is written as TARGET.ssh=shell or TARGET.postgres=HOST:PORT.')
  if (where === 'shell' && known !== 'ssh') throw new Error(`${target}: only ssh can be a shell.`)
  const offer: Offer = where === 'shell' ? { kind: 'shell' } : { kind: 'tcp', ...address(where) }
  const own = offers.get(target) ?? new Map<Protocol, Offer>()
  offers.set(target, own.set(known, offer))
}

export const hasSettings = (dir: string): boolean => existsSync(pathOf(dir))

/** @throws {Error} with a sentence. */
export function readSettings(dir: string): Settings {
  const path = pathOf(dir)
  let said: Readonly<Record<string, unknown>>
  try {
    said = asRecord(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    throw new Error(`${path} cannot be read; enrol this agent first, with --enroll TOKEN.`, { cause })
  }
  const { agent, hostKey, keptMegabytes, userAuthority } = said
  if (typeof agent !== 'string' || !NAME.test(agent)) throw new Error(`${path}: agent is not a name.`)
  if (typeof hostKey !== 'string' || !KEY.test(hostKey)) throw new Error(`${path}: hostKey is not a key.`)
  if (typeof userAuthority !== 'string' || !KEY.test(userAuthority))
    throw new Error(`${path}: userAuthority is not a key.`)
  if (keptMegabytes !== undefined && (typeof keptMegabytes !== 'number' || !(keptMegabytes >= 0)))
    throw new Error(`${path}: keptMegabytes is not a number.`)
  const offers = new Map<string, Map<Protocol, Offer>>()
  for (const [target, those] of Object.entries(asRecord(said['offers'])))
    for (const [protocol, where] of Object.entries(asRecord(those))) addOffer(offers, target, protocol, String(where))
  return { gateway: { ...address(String(said['gateway'])), hostKey }, agent, userAuthority, offers, keptMegabytes }
}

export function writeSettings(dir: string, { agent, gateway, keptMegabytes, offers, userAuthority }: Settings): void {
  const path = pathOf(dir)
  const host = gateway.host.includes(':') ? `[${gateway.host}]` : gateway.host
  const written = {
    gateway: `${host}:${gateway.port}`,
    hostKey: gateway.hostKey,
    agent,
    userAuthority,
    keptMegabytes,
    offers: Object.fromEntries(
      [...offers].map(([target, those]) => [
        target,
        Object.fromEntries(
          [...those].map(([protocol, offer]) => [
            protocol,
            offer.kind === 'shell'
              ? 'shell'
              : `${offer.host.includes(':') ? `[${offer.host}]` : offer.host}:${offer.port}`,
          ]),
        ),
      ]),
    ),
  }
  writeFileSync(`${path}.new`, `${JSON.stringify(written, null, 2)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

/** @throws {Error} */
function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('An object was expected.')
  return value as Readonly<Record<string, unknown>>
}
