/** Who it is, signed: a JWT (ES256) with each request, good for a minute and for one target. Each process has keys of its own, and only their public halves leave it. */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import type { Identity } from '../model/identity.ts'
import { after, type Clock, type Moment } from '../model/moment.ts'
import type { WebSessions } from './parts.ts'

const SECONDS = 60
const ROTATED_MS = 24 * 3_600_000
/** What was signed last is checked for a minute, by clocks that differ. */
const KNOWN_AFTER_MS = 10 * 60_000

type Key = { readonly kid: string; readonly key: KeyObject }

export type Assertion = { readonly id: string; readonly token: string }

export class Assertions {
  readonly #parts: {
    readonly sessions: Pick<WebSessions, 'publishKey'>
    readonly clock: Clock
    readonly issuer: string
  }
  #key: Promise<Key> | undefined
  #bornAt = 0

  constructor(parts: {
    readonly sessions: Pick<WebSessions, 'publishKey'>
    readonly clock: Clock
    readonly issuer: string
  }) {
    this.#parts = parts
  }

  /** @throws {Refusal} UNAVAILABLE when a new key cannot be made known. */
  async about(who: Identity, target: string, grant: string): Promise<Assertion> {
    const { kid, key } = await this.#current()
    const now = Math.floor(this.#parts.clock.now() / 1000)
    const id = randomUUID()
    const head = part({ alg: 'ES256', typ: 'JWT', kid })
    const claims = part({
      iss: this.#parts.issuer,
      aud: target,
      sub: who.subject,
      preferred_username: who.username,
      groups: who.groups,
      grant,
      jti: id,
      iat: now,
      exp: now + SECONDS,
    })
    const signature = sign('sha256', Buffer.from(`${head}.${claims}`), { key, dsaEncoding: 'ieee-p1363' })
    return { id, token: `${head}.${claims}.${signature.toString('base64url')}` }
  }

  #current(): Promise<Key> {
    const now = this.#parts.clock.now()
    if (this.#key === undefined || now - this.#bornAt > ROTATED_MS) {
      this.#bornAt = now
      const made = this.#make(now)
      this.#key = made
      // Not kept: the next request tries again.
      made.catch(() => {
        if (this.#key === made) this.#key = undefined
      })
    }
    return this.#key
  }

  /** Known to everybody before anything is signed with it. */
  async #make(now: Moment): Promise<Key> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
    // RFC 7638: the thumbprint of exactly these members in this order.
    const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
    const jwk = JSON.stringify({ kty, crv, x, y, kid, use: 'sig', alg: 'ES256' })
    await this.#parts.sessions.publishKey(kid, jwk, after(now, ROTATED_MS + KNOWN_AFTER_MS))
    return { kid, key: privateKey }
  }
}

const part = (json: object): string => Buffer.from(JSON.stringify(json)).toString('base64url')
