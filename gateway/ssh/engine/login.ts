/** Logging in (RFC 4252, client side) with one key or one certificate of minutes. No passwords; nothing interactive on targets. */
import type { Ssh2 } from './ssh2.ts'
import type { Transport } from './transport.ts'
import { message, Reader, string, uint32 } from './wire.ts'
import { keyRequest } from './proof.ts'
import { type CriticalOption, issueCertificate, newSigningKey, type SigningKey } from './authority.ts'
import { CERTIFICATE_SUFFIX } from './certificate.ts'

/** One way to prove who logs in. */
export type Credential = {
  readonly algorithm: string
  readonly blob: Buffer
  /** SSH's form: string algorithm, string signature. */
  sign(data: Buffer): Buffer
}

const CERTIFICATE_SECONDS = 300

export type CertificateWish = {
  readonly account: string
  readonly keyId: string
  readonly now: number
  readonly option?: CriticalOption | undefined
}

/** A key that lives as long as this connection, and a certificate for it. `keyId` is what sshd writes into its log. */
export function certificateCredential(
  authority: SigningKey,
  { account, keyId, now, option }: CertificateWish,
): Credential {
  const key = newSigningKey()
  const blob = issueCertificate(authority, {
    kind: 'user',
    key: key.blob,
    keyId,
    principals: [account],
    now,
    seconds: CERTIFICATE_SECONDS,
    extensions: ['permit-port-forwarding', 'permit-pty'],
    option,
  })
  return { algorithm: `ssh-ed25519${CERTIFICATE_SUFFIX}`, blob, sign: (data) => key.sign(data) }
}

/** A private key by reference, in OpenSSH's or PEM form. @throws {Error} without the key in its text. */
export function keyCredential(ssh2: Ssh2, privateKey: Buffer): Credential {
  if (privateKey.length > 16 * 1024) throw new Error('The private key is longer than 16 KiB.')
  const parsed = ssh2.parseKey(privateKey)
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (key === undefined || key instanceof Error || !('sign' in key) || key.getPrivatePEM() === null)
    throw new Error('The private key cannot be read. It must be an OpenSSH or PEM key without a passphrase.')
  const isRsa = key.type === 'ssh-rsa'
  const algorithm = isRsa ? 'rsa-sha2-512' : key.type
  return {
    algorithm,
    blob: key.getPublicSSH(),
    sign: (data) => {
      const signature = key.sign(data, isRsa ? 'sha512' : undefined)
      if (signature instanceof Error) throw new Error('The private key cannot sign.')
      return Buffer.concat([string(algorithm), string(ssh2.convertSignature(signature, key.type))])
    },
  }
}

/** One login. `receive` takes the messages 5 to 79; `done` runs once. */
export class Login {
  readonly #transport: Transport
  readonly #account: string
  readonly #credential: Credential
  readonly #done: (failure: Error | undefined) => void
  readonly #banner: ((text: string) => void) | undefined
  #answer: ((said: string) => readonly string[]) | undefined
  #isAsked = false
  #over = false

  constructor(parts: {
    readonly transport: Transport
    readonly account: string
    readonly credential: Credential
    readonly done: (failure: Error | undefined) => void
    readonly banner?: (text: string) => void
    /** For one question of a peer who wants more than the key (RFC 4256). Left out, that is a failure. */
    readonly answer?: ((said: string) => readonly string[]) | undefined
  }) {
    this.#transport = parts.transport
    this.#account = parts.account
    this.#credential = parts.credential
    this.#done = parts.done
    this.#banner = parts.banner
    this.#answer = parts.answer
  }

  begin(): void {
    this.#transport.send(message(5, string('ssh-userauth')))
  }

  receive(payload: Buffer): void {
    const reader = new Reader(payload)
    switch (reader.byte()) {
      case 6:
        return this.#ask()
      // Extension info is not needed; banners of targets are for people who log in there by hand.
      case 7:
        return undefined
      case 53:
        return this.#banner?.(reader.text(1024))
      case 52:
        return this.#end(undefined)
      case 51:
        return this.#refused(reader.text(1024), reader.boolean())
      case 60:
        return this.#reply(reader)
      default:
        return this.#end(new Error('It asked for something that is not a login by key.'))
    }
  }

  #ask(): void {
    const { algorithm, blob } = this.#credential
    const request = keyRequest({ username: this.#account, algorithm, blob })
    const signature = this.#credential.sign(Buffer.concat([string(this.#transport.sessionId), request]))
    this.#transport.send(Buffer.concat([request, string(signature)]))
  }

  #refused(methods: string, isPartial: boolean): void {
    if (this.#answer === undefined || this.#isAsked || !isPartial)
      return this.#end(new Error(`It does not let ${this.#account} in; it would take ${methods}.`))
    this.#isAsked = true
    const fields = [this.#account, 'ssh-connection', 'keyboard-interactive', '', '']
    return this.#transport.send(message(50, ...fields.map((field) => string(field))))
  }

  #reply(reader: Reader): void {
    const answer = this.#answer
    if (answer === undefined || !this.#isAsked)
      return this.#end(new Error('It asked for something that is not a login by key.'))
    this.#answer = undefined
    reader.text(1024)
    const answers = answer(reader.text())
    return this.#transport.send(message(61, uint32(answers.length), ...answers.map((text) => string(text))))
  }

  #end(failure: Error | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#done(failure)
  }
}
