/** Signing in, server side (RFC 4252, RFC 4256): one attempt at a time, one user name per connection, a limit of tries. */
import { MalformedMessage } from '../../model/refusal.ts'
import type { Attempt, Authenticate, Decision, Method, Prompt, ProvenKey } from './contract.ts'
import type { Transport } from './transport.ts'
import { byte, message, Reader, string, uint32 } from './wire.ts'
import { type KeyRequest, type Offered, prove, readOffer, type ProofParts } from './proof.ts'

const MAX_FAILURES = 6
const MAX_WAITING = 10
/** What the front half takes apart: a person, perhaps a target and a role. Nothing here needs quoting anywhere. */
const USERNAME = /^[A-Za-z0-9][A-Za-z0-9._@+:%/-]{0,159}$/
const ALL: readonly Method[] = ['publickey', 'keyboard-interactive']

export type AuthenticationParts = {
  readonly transport: Transport
  readonly proof: () => ProofParts
  /** Inner connections of -J bring their identity along. */
  readonly inherits: boolean
  readonly onSuccess: (username: string) => void
}

type Request = { readonly method: string; readonly body: Reader }

export class Authentication {
  readonly #parts: AuthenticationParts
  readonly #waiting: Request[] = []
  #handler: Authenticate | undefined
  #username: string | undefined
  #hasService = false
  #done = false
  #failures = 0
  #current: AbortController | undefined
  #isInteractive = false
  #answer: ((answers: readonly string[] | Error) => void) | undefined

  constructor(parts: AuthenticationParts) {
    this.#parts = parts
  }

  get done(): boolean {
    return this.#done
  }

  handle(handler: Authenticate): void {
    this.#handler = handler
  }

  /** SSH_MSG_SERVICE_REQUEST. */
  receiveService(payload: Buffer): void {
    const name = new Reader(payload, 1).text(64)
    if (this.#hasService || name !== 'ssh-userauth') throw new MalformedMessage('A service that is not offered.')
    this.#hasService = true
    this.#parts.transport.send(message(6, string(name)))
  }

  /** Messages 50 to 79. */
  receive(payload: Buffer): void {
    const reader = new Reader(payload)
    const type = reader.byte()
    if (!this.#hasService) throw new MalformedMessage('Signing in comes after asking for it.')
    if (type === 61) return this.#receiveAnswers(reader)
    if (type !== 50) throw new MalformedMessage(`A message of type ${type} while signing in.`)
    // RFC 4252 §5.3: what comes after success is ignored.
    if (this.#done) return undefined
    const username = reader.text(256)
    const service = reader.text(64)
    if (service !== 'ssh-connection') throw new MalformedMessage('A service that is not offered.')
    if (!USERNAME.test(username)) throw new MalformedMessage('A user name that cannot be one here.')
    if (this.#username !== undefined && this.#username !== username)
      throw new MalformedMessage('The user name changed while signing in.')
    this.#username = username
    const request = { method: reader.text(64), body: reader }
    if (this.#current === undefined) return this.#begin(request)
    if (this.#waiting.length === MAX_WAITING) throw new MalformedMessage('Too many sign-ins at once.')
    this.#waiting.push(request)
    // RFC 4256 §3.1: a new request gives up an interactive one.
    if (this.#isInteractive) this.#giveUp(new Error('The client tried something else.'))
    return undefined
  }

  /** The connection is gone. */
  lose(): void {
    this.#waiting.length = 0
    this.#giveUp(new Error('The connection is gone.'))
  }

  banner(text: string): void {
    if (!this.#done) this.#parts.transport.send(message(53, string(text), string('')))
  }

  #giveUp(why: Error): void {
    this.#current?.abort(why)
    const answer = this.#answer
    this.#answer = undefined
    answer?.(why)
  }

  #begin({ method, body }: Request): void {
    const username = this.#username ?? ''
    switch (method) {
      case 'none':
        return this.#decide({ method, username })
      case 'publickey':
        return this.#publicKey(username, body)
      case 'keyboard-interactive': {
        body.text(64)
        body.text(256)
        this.#isInteractive = true
        return this.#decide({
          method,
          username,
          ask: (title, text, prompts) => this.#ask(title, text, prompts),
        })
      }
      default:
        // password, hostbased and whatever else was invented: not offered, so it fails like a wrong one.
        this.#refuse(ALL, false)
    }
    return undefined
  }

  #publicKey(username: string, body: Reader): void {
    const isSigned = body.boolean()
    const algorithm = body.text(64)
    const blob = Buffer.from(body.string(16 * 1024))
    const signature = isSigned ? body.string(8 * 1024) : undefined
    body.end()
    const request: KeyRequest = { username, algorithm, blob, signature }
    const offered: Offered | undefined = readOffer(this.#parts.proof(), request)
    if (offered === undefined) return this.#refuse(ALL, false)
    if (!isSigned) {
      this.#parts.transport.send(message(60, string(algorithm), string(blob)))
      return this.#next()
    }
    const key: ProvenKey | undefined = prove(this.#parts.transport.sessionId, request, offered)
    if (key === undefined) return this.#refuse(ALL, false)
    return this.#decide({ method: 'publickey', username, key })
  }

  #decide(attempt: Attempt): void {
    const current = new AbortController()
    this.#current = current
    const handler = this.#handler ?? (() => Promise.resolve<Decision>({ accept: false, methods: ALL }))
    const decided = (decision: Decision) => {
      if (this.#current !== current) return
      this.#current = undefined
      this.#isInteractive = false
      this.#answer = undefined
      if (this.#parts.transport.closed) return
      if (current.signal.aborted) {
        // RFC 4252 §5.1: an attempt that was given up gets no answer.
        this.#failures += 1
        this.#next()
        return
      }
      const mayPass = attempt.method !== 'none' || this.#parts.inherits
      if (decision.accept && mayPass) this.#succeed()
      else if (decision.accept) this.#refuse(ALL, false)
      else this.#refuse(decision.methods, decision.partial === true, attempt.method === 'none')
    }
    new Promise<Decision>((resolve) => resolve(handler(attempt, current.signal))).then(decided, () =>
      decided({ accept: false, methods: ALL }),
    )
  }

  #succeed(): void {
    this.#done = true
    this.#waiting.length = 0
    this.#parts.transport.send(message(52))
    this.#parts.onSuccess(this.#username ?? '')
  }

  #refuse(methods: readonly Method[], partial: boolean, isFree = false): void {
    if (!partial && !isFree) this.#failures += 1
    if (this.#failures >= MAX_FAILURES) {
      this.#parts.transport.disconnect(14, 'Too many attempts to sign in.')
      return
    }
    this.#parts.transport.send(message(51, string(methods.join(',')), byte(partial ? 1 : 0)))
    this.#next()
  }

  #next(): void {
    const request = this.#waiting.shift()
    if (request === undefined) return
    try {
      this.#begin(request)
    } catch (failure) {
      // Outside of the transport's own reading nobody else would catch it.
      if (!(failure instanceof MalformedMessage)) throw failure
      this.#parts.transport.disconnect(2, failure.message)
    }
  }

  #ask(title: string, text: string, prompts: readonly Prompt[]): Promise<readonly string[]> {
    if (this.#answer !== undefined || !this.#isInteractive) return Promise.reject(new Error('One question at a time.'))
    const fields = prompts.flatMap(({ prompt, echo }) => [string(prompt), byte(echo ? 1 : 0)])
    this.#parts.transport.send(message(60, string(title), string(text), string(''), uint32(prompts.length), ...fields))
    return new Promise((resolve, reject) => {
      this.#answer = (answers) => (answers instanceof Error ? reject(answers) : resolve(answers))
    })
  }

  #receiveAnswers(reader: Reader): void {
    const answer = this.#answer
    if (answer === undefined) throw new MalformedMessage('Answers to no question.')
    const count = reader.uint32()
    if (count > 16) throw new MalformedMessage('Too many answers.')
    const answers = Array.from({ length: count }, () => reader.text(4096))
    reader.end()
    this.#answer = undefined
    answer(answers)
  }
}
