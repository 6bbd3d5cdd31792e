/** Who is this: a client certificate, a token as the password, or a sign-in in the browser while the connection waits. */
import type { GrantId } from '../model/grant.ts'
import type { Identity, Username } from '../model/identity.ts'
import { after, type Clock, minutesToMs } from '../model/moment.ts'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import type { SignIns, WaitingSignIn, Wish } from '../session/session.ts'
import { type BearerTokens, checkBearer } from './bearer.ts'
import { shownCertificate } from './certificate.ts'
import type { Greeted } from './greeting.ts'
import {
  AUTHENTICATION_OK,
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
  FieldReader,
} from './message.ts'
import type { DatabaseTokens, LiveToken, Machines, SignInLeases } from './parts.ts'
import { ScramServer } from './scram.ts'

type Client = Extract<Greeted, { type: 'client' }>

export type Asking = {
  readonly username: Username
  readonly address: string
  readonly clientVersion: string
  /** As the client named it. */
  readonly target: string
}

/** Shows the person a line before the session begins. */
export type Say = (text: string, hint: string) => void

export type SignedIn = {
  readonly identity: Identity
  readonly how: 'certificate' | 'bearer' | 'token' | 'browser' | 'lease' | 'page'
  /** Of the certificate. */
  readonly fingerprint256?: string | undefined
}

export type SignInParts = {
  readonly signIns: Pick<SignIns, 'ask' | 'askPasskey'>
  readonly tokens: DatabaseTokens
  readonly leases: SignInLeases
  readonly bearer: BearerTokens | undefined
  readonly machines: Machines | undefined
  readonly clock: Clock
  readonly leaseMinutes: number
}

const MAX_AUTH_MESSAGE = 64 * 1024
/** Keeps routers from forgetting the connection, and shows a client that is gone. */
export const REPEAT_MS = 25_000
/** Waiting connections of one person at one address: a pool's worth. */
const MAX_JOINED = 20

/** Connections of one person, address and target that wait for the same sign-in. */
type Joined = {
  readonly identity: Promise<Identity>
  readonly asked: Promise<WaitingSignIn>
  readonly stop: AbortController
  waiting: number
}

export class SignInDoor {
  readonly #parts: SignInParts
  readonly #joined = new Map<string, Joined>()

  constructor(parts: SignInParts) {
    this.#parts = parts
  }

  /**
   * Says AuthenticationOk (libpq takes no notice before it), then waits if it must.
   * @throws {Refusal}, {MalformedMessage}, or Closed.
   */
  async identify(
    client: Client,
    asking: Asking,
    say: Say,
    gone: AbortSignal,
    options: { readonly fresh?: boolean } = {},
  ): Promise<SignedIn> {
    if (options.fresh) return { identity: await this.#browser(asking, say, gone), how: 'browser' }
    const certificate = shownCertificate(client.secure?.stream)
    const machine = await this.#parts.machines?.identity(asking.username, certificate)
    if (machine !== undefined) {
      client.stream.write(AUTHENTICATION_OK)
      return { identity: machine, how: 'certificate', fingerprint256: certificate?.fingerprint256 }
    }
    const { bearer } = this.#parts
    if (bearer !== undefined && client.secure?.stream.servername === bearer.hostname)
      return { identity: await checkBearer(client, asking.username, bearer), how: 'bearer' }
    const token = await this.#parts.tokens.live(asking.username)
    if (token !== undefined) return { identity: await checkPassword(client, token), how: 'token' }
    client.stream.write(AUTHENTICATION_OK)
    const leased = await this.#parts.leases.get(leaseKey(asking))
    if (leased !== undefined) return { identity: leased, how: 'lease' }
    return { identity: await this.#browser(asking, say, gone), how: 'browser' }
  }

  /** A sign-in in the browser has led to a session: it serves the next ones of this person, address, target and grant. */
  async remember(asking: Asking, identity: Identity, grant: GrantId): Promise<void> {
    const { leases, clock, leaseMinutes } = this.#parts
    const until = after(clock.now(), minutesToMs(leaseMinutes))
    await leases.put(`${leaseKey(asking)}|${grant}`, identity, until)
    await leases.put(leaseKey(asking), identity, until)
  }

  /** Whether a remembered sign-in was for this grant, and not for one before it. */
  async isFor(asking: Asking, grant: GrantId): Promise<boolean> {
    return (await this.#parts.leases.get(`${leaseKey(asking)}|${grant}`)) !== undefined
  }

  /** For one session under a role that asks for a passkey. @throws {Refusal}, or Closed. */
  async touch(
    asking: Asking,
    { identity, target }: Pick<Wish, 'identity' | 'target'>,
    say: Say,
    gone: AbortSignal,
  ): Promise<PasskeyProof> {
    const waiting = await this.#parts.signIns.askPasskey(identity, { ...questionOf(asking), target })
    const tell = () =>
      say(
        `Open ${waiting.url}, type the code ${waiting.code} there, and use your passkey.`,
        'This role asks for it at each connection, which then goes on by itself.',
      )
    tell()
    const repeat = setInterval(tell, REPEAT_MS)
    try {
      return await waiting.wait(gone)
    } finally {
      clearInterval(repeat)
    }
  }

  async #browser(asking: Asking, say: Say, gone: AbortSignal): Promise<Identity> {
    const key = leaseKey(asking)
    const joined = this.#joined.get(key) ?? this.#ask(key, asking)
    if (joined.waiting >= MAX_JOINED)
      throw new Refusal('TOO_MANY', 'Too many connections wait for this sign-in.', { next: 'Sign in, then connect.' })
    joined.waiting += 1
    let repeat: NodeJS.Timeout | undefined
    try {
      const { url, code } = await joined.asked
      const tell = () =>
        say(
          `Sign in at ${url} and type the code ${code} there.`,
          'This connection goes on by itself once you have signed in.',
        )
      tell()
      repeat = setInterval(tell, REPEAT_MS)
      return await untilGone(joined.identity, gone)
    } finally {
      clearInterval(repeat)
      joined.waiting -= 1
      if (joined.waiting === 0) {
        joined.stop.abort(new Refusal('NOT_SIGNED_IN', 'The connection was closed.'))
        if (this.#joined.get(key) === joined) this.#joined.delete(key)
      }
    }
  }

  #ask(key: string, asking: Asking): Joined {
    const { signIns } = this.#parts
    const stop = new AbortController()
    const asked = signIns.ask(questionOf(asking))
    const identity = asked.then(async (waiting) => {
      const who = await waiting.wait(stop.signal)
      if (who.username !== asking.username)
        throw new Refusal('NOT_SIGNED_IN', `The person who signed in is not ${asking.username}.`)
      return who
    })
    identity.catch(() => undefined)
    const joined: Joined = { identity, asked, stop, waiting: 0 }
    this.#joined.set(key, joined)
    return joined
  }
}

const questionOf = ({ username, address, clientVersion, target }: Asking) => ({
  kind: 'postgres' as const,
  username,
  sourceAddress: address,
  clientVersion,
  keyFingerprint: undefined,
  target,
})

const leaseKey = ({ username, address, target }: Asking): string => `${username}|${address}|${target}`

function untilGone<T>(promise: Promise<T>, gone: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const leave = () => reject(gone.reason)
    if (gone.aborted) return leave()
    gone.addEventListener('abort', leave, { once: true })
    void promise.then(resolve, reject).finally(() => gone.removeEventListener('abort', leave))
  })
}

/** SCRAM as a server. The token itself never crosses the wire. */
async function checkPassword(client: Client, token: LiveToken): Promise<Identity> {
  const { stream, reader } = client
  const scram = new ScramServer(token.verifier, client.secure?.binding)
  stream.write(authenticationSasl(scram.mechanisms))
  const first = await reader.message(MAX_AUTH_MESSAGE)
  if (first.type !== 'p') throw new MalformedMessage(`message ${first.type} instead of a password`)
  const fields = new FieldReader(first.body)
  const mechanism = fields.string()
  const initial = fields.value()
  fields.end()
  stream.write(authenticationSaslContinue(scram.first(mechanism, initial?.toString('utf8') ?? '')))
  const last = await reader.message(MAX_AUTH_MESSAGE)
  if (last.type !== 'p') throw new MalformedMessage(`message ${last.type} instead of a password`)
  const answer = scram.final(last.body.toString('utf8'))
  if (answer === undefined)
    throw new Refusal('WRONG_TOKEN', 'The token is wrong or has ended.', {
      next: 'Make a new one: ssh to the gateway, "token". Without a live token the gateway lets you sign in by browser.',
    })
  stream.write(Buffer.concat([authenticationSaslFinal(answer), AUTHENTICATION_OK]))
  return token.identity
}

/** Leases of this process only, for when nobody brings a shared store. */
export function ownLeases(clock: Clock): SignInLeases {
  const leases = new Map<string, { readonly identity: Identity; readonly expiresAt: number }>()
  return {
    get: async (key) => {
      const lease = leases.get(key)
      return lease !== undefined && clock.now() < lease.expiresAt ? lease.identity : undefined
    },
    put: async (key, identity, expiresAt) => {
      for (const [other, lease] of leases) if (clock.now() >= lease.expiresAt) leases.delete(other)
      leases.set(key, { identity, expiresAt })
    },
  }
}
