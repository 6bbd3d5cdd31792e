/**
 * SCRAM-SHA-256 and -PLUS, both sides (RFC 5802, RFC 7677; tls-server-end-point of RFC 5929).
 * Messages in, messages out: no socket, no store.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import { MalformedMessage } from '../model/refusal.ts'

const derive = promisify(pbkdf2)

/** A hostile server could ask for days of work. */
const MAX_ITERATIONS = 100_000
const PLUS = 'SCRAM-SHA-256-PLUS'
const PLAIN = 'SCRAM-SHA-256'

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()
const hmac = (key: Buffer, data: string | Buffer): Buffer => createHmac('sha256', key).update(data).digest()
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, i) => byte ^ (b[i] ?? 0)))

/** SASLprep is NFKC for everything that people and machines use as passwords here. */
const salted = (password: string, salt: Buffer, iterations: number): Promise<Buffer> =>
  derive(password.normalize('NFKC'), salt, iterations, 32, 'sha256')

type Verifier = {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** What PostgreSQL stores instead of a password, in its own writing; safe in a log of the target, useless for a login. */
export async function scramVerifier(password: string, iterations = 4096, salt = randomBytes(16)): Promise<string> {
  const key = await salted(password, salt, iterations)
  const storedKey = sha256(hmac(key, 'Client Key')).toString('base64')
  const serverKey = hmac(key, 'Server Key').toString('base64')
  return `${PLAIN}$${iterations}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}

const VERIFIER = /^SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]{44})$/

function readVerifier(text: string): Verifier | undefined {
  const [, iterations, salt, storedKey, serverKey] = VERIFIER.exec(text) ?? []
  if (!iterations || !salt || !storedKey || !serverKey) return undefined
  return {
    iterations: Number(iterations),
    salt: Buffer.from(salt, 'base64'),
    storedKey: Buffer.from(storedKey, 'base64'),
    serverKey: Buffer.from(serverKey, 'base64'),
  }
}

/** The hash that binds a login to the certificate of its TLS channel; undefined where the certificate's algorithm defines none (Ed25519, PSS). */
export function endPointHash(certificate: Buffer): Buffer | undefined {
  const algorithm: string | undefined = new X509Certificate(certificate).signatureAlgorithm
  const bits = /SHA-?(1|224|256|384|512)(?!\d)/i.exec(algorithm ?? '')?.[1]
  if (bits === undefined || /pss/i.test(algorithm ?? '')) return undefined
  return createHash(bits === '1' || bits === '224' ? 'sha256' : `sha${bits}`)
    .update(certificate)
    .digest()
}

const CLIENT_FIRST = /^((n|y|p=([A-Za-z0-9.-]+)),([^,]*),)(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]{1,256})(?:,.*)?)$/s

/** Our side towards a client. One per login. */
export class ScramServer {
  readonly #verifier: Verifier
  readonly #binding: Buffer | undefined
  #gs2 = ''
  #clientFirst = ''
  #serverFirst = ''
  #nonce = ''

  /** @param binding of our own certificate; undefined on a plaintext connection. */
  constructor(verifier: string, binding: Buffer | undefined) {
    const read = readVerifier(verifier)
    if (read === undefined) throw new Error('not a SCRAM verifier')
    this.#verifier = read
    this.#binding = binding
  }

  get mechanisms(): readonly string[] {
    return this.#binding === undefined ? [PLAIN] : [PLUS, PLAIN]
  }

  /** @throws {MalformedMessage} also for a downgrade somebody tried on the way. */
  first(mechanism: string, message: string): string {
    const [, gs2, flag, binding, authzid, bare, nonce] = CLIENT_FIRST.exec(message) ?? []
    if (gs2 === undefined || flag === undefined || bare === undefined || nonce === undefined)
      throw new MalformedMessage('SCRAM message')
    if (!this.mechanisms.includes(mechanism)) throw new MalformedMessage('SASL mechanism')
    if (authzid) throw new MalformedMessage('SCRAM authorization identity')
    const plus = mechanism === PLUS
    if (plus !== flag.startsWith('p')) throw new MalformedMessage('SCRAM channel binding flag')
    if (plus && binding !== 'tls-server-end-point') throw new MalformedMessage('SCRAM channel binding type')
    if (flag === 'y' && this.#binding !== undefined) throw new MalformedMessage('SCRAM channel binding was stripped')
    this.#gs2 = gs2
    this.#clientFirst = bare
    this.#nonce = nonce + randomBytes(18).toString('base64')
    this.#serverFirst = `r=${this.#nonce},s=${this.#verifier.salt.toString('base64')},i=${this.#verifier.iterations}`
    return this.#serverFirst
  }

  /** @returns the server's last message, or undefined when the password is wrong. @throws {MalformedMessage} */
  final(message: string): string | undefined {
    const [, bare, channel, nonce, proofText] =
      /^(c=([A-Za-z0-9+/=]*),r=([^,]+)(?:,[^,]*)*),p=([A-Za-z0-9+/=]+)$/.exec(message) ?? []
    if (bare === undefined || nonce === undefined || proofText === undefined)
      throw new MalformedMessage('SCRAM message')
    const bound = this.#gs2.startsWith('p') ? (this.#binding ?? Buffer.alloc(0)) : Buffer.alloc(0)
    const expected = Buffer.concat([Buffer.from(this.#gs2), bound]).toString('base64')
    if (channel !== expected) throw new MalformedMessage('SCRAM channel binding')
    if (nonce !== this.#nonce) throw new MalformedMessage('SCRAM nonce')
    const proof = Buffer.from(proofText, 'base64')
    if (proof.length !== 32) return undefined
    const signed = `${this.#clientFirst},${this.#serverFirst},${bare}`
    const clientKey = xor(proof, hmac(this.#verifier.storedKey, signed))
    if (!timingSafeEqual(sha256(clientKey), this.#verifier.storedKey)) return undefined
    return `v=${hmac(this.#verifier.serverKey, signed).toString('base64')}`
  }
}

/** Our side towards a target. One per login. */
export class ScramClient {
  readonly mechanism: string
  readonly #gs2: string
  readonly #channel: string
  readonly #nonce = randomBytes(18).toString('base64')
  #signature: Buffer = Buffer.alloc(0)

  /**
   * @param certificate of the target (DER); undefined without TLS.
   * @throws {MalformedMessage} when the target offers no SCRAM-SHA-256.
   */
  constructor(offered: readonly string[], certificate: Buffer | undefined) {
    const hash = certificate && offered.includes(PLUS) ? endPointHash(certificate) : undefined
    this.mechanism = hash === undefined ? PLAIN : PLUS
    if (!offered.includes(this.mechanism)) throw new MalformedMessage('no SCRAM-SHA-256 offered')
    const stripped = certificate !== undefined && !offered.includes(PLUS)
    this.#gs2 = hash !== undefined ? 'p=tls-server-end-point,,' : stripped ? 'y,,' : 'n,,'
    this.#channel = Buffer.concat([Buffer.from(this.#gs2), hash ?? Buffer.alloc(0)]).toString('base64')
  }

  first(): string {
    return `${this.#gs2}n=,r=${this.#nonce}`
  }

  /** @throws {MalformedMessage} when the server's message is not one, or asks for too much work. */
  async final(serverFirst: string, password: string): Promise<string> {
    const [, nonce, salt, count] = /^r=([^,]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,.*)?$/s.exec(serverFirst) ?? []
    if (nonce === undefined || salt === undefined || count === undefined) throw new MalformedMessage('SCRAM message')
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) throw new MalformedMessage('SCRAM nonce')
    const iterations = Number(count)
    if (iterations < 1 || iterations > MAX_ITERATIONS) throw new MalformedMessage('SCRAM iteration count')
    const key = await salted(password, Buffer.from(salt, 'base64'), iterations)
    const bare = `c=${this.#channel},r=${nonce}`
    const signed = `n=,r=${this.#nonce},${serverFirst},${bare}`
    const clientKey = hmac(key, 'Client Key')
    this.#signature = hmac(hmac(key, 'Server Key'), signed)
    return `${bare},p=${xor(clientKey, hmac(sha256(clientKey), signed)).toString('base64')}`
  }

  /** @throws {MalformedMessage} when the server does not know the password either. */
  verify(serverFinal: string): void {
    const signature = Buffer.from(/^v=([A-Za-z0-9+/=]+)/.exec(serverFinal)?.[1] ?? '', 'base64')
    if (this.#signature.length === 0 || signature.length !== 32 || !timingSafeEqual(signature, this.#signature))
      throw new MalformedMessage('SCRAM server signature')
  }
}
