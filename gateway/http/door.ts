/** The way of one request: whose name, readable, who, whose page, live grant, judged and journalled, then forwarded. Never another order. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/refusal.ts'
import type { HttpScope } from '../model/role.ts'
import { isAboutAccess, noAccess } from './access-words.ts'
import { type Asked, readRequest, valueOf } from './asked.ts'
import { type Assertion, Assertions } from './assertion.ts'
import type { Answer, Call, Head } from './call.ts'
import { goneCookie, WEB_COOKIE } from './cookies.ts'
import { denial, endUpgrade, HttpRefusal, type Saying, sendDenial } from './deny.ts'
import { Exchange } from './exchange.ts'
import { towardsTarget } from './fields.ts'
import { beginHandOver, ENTER_PATH, finishHandOver, OWN_PREFIX, SIGN_OUT_PATH, webSecretOf } from './hand-over.ts'
import { http1Call, http1Head } from './http1-call.ts'
import { http2Call } from './http2-call.ts'
import type { LiveSession, UnderWay } from './live-session.ts'
import { recordedFields, recordedText } from './masking.ts'
import { fromOwnPages } from './origin-rule.ts'
import type { HttpDoor, HttpParts } from './parts.ts'
import { type Place, placesOf } from './place.ts'
import { RefusalNotes } from './refused.ts'
import { judge } from './scope.ts'
import { Visits } from './visits.ts'
import { checkHandshake, WebSocketRelay } from './websocket.ts'

const LONGEST_VERSION = 200

/** What is known so far, for whoever has to say no. */
type Knowledge = { place?: Place; asked?: Asked; identity?: Identity }
type Way =
  | { readonly kind: 'request'; readonly answer: Answer }
  | { readonly kind: 'websocket'; readonly socket: Duplex }

export class Door implements HttpDoor {
  readonly #parts: HttpParts
  readonly #visits: Visits
  readonly #assertions: Assertions
  readonly #refused: RefusalNotes
  readonly #placeOf: ReturnType<typeof placesOf>

  constructor(parts: HttpParts) {
    this.#parts = parts
    this.#visits = new Visits(parts)
    this.#placeOf = placesOf(parts.settings)
    this.#refused = new RefusalNotes(parts.notes)
    this.#assertions = new Assertions({
      sessions: parts.sessions,
      clock: parts.notes.clock,
      issuer: parts.settings.publicUrl,
    })
  }

  request(request: IncomingMessage, response: ServerResponse): void {
    this.#serve(http1Call(request, response))
  }

  stream(stream: ServerHttp2Stream, fields: readonly string[]): void {
    const call = http2Call(stream, fields)
    if (call !== undefined) this.#serve(call)
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    request.on('error', () => undefined)
    socket.on('error', () => socket.destroy())
    const known: Knowledge = {}
    this.#upgrade(request, socket, head, known).catch((why: unknown) =>
      this.#deny(why, known, { kind: 'websocket', socket }),
    )
  }

  close(): Promise<void> {
    return this.#visits.close()
  }

  #serve(call: Call): void {
    const known: Knowledge = {}
    this.#request(call, known).catch((why: unknown) => this.#deny(why, known, { kind: 'request', answer: call.answer }))
  }

  async #request(call: Call, known: Knowledge): Promise<void> {
    const { answer, body } = call
    const address = plainAddress(call.address)
    const { place, asked } = this.#read(call.head, known)
    if (asked.path.startsWith(OWN_PREFIX)) return this.#own(asked, place, answer)
    const session = await this.#session(address, known)
    if (session === undefined) return this.#stranger(asked, place, answer)
    fromOwnPages(asked, place, session.endpoint, 'request')
    const assertion = await this.#assertion(session, place)
    const fields = await this.#fields(session, { asked, place, address, assertion })
    if (answer.isGone) return
    const deny = (why: unknown) => this.#deny(why, known, { kind: 'request', answer })
    const { idleMs } = this.#parts.settings
    this.#go(
      session,
      { asked, assertion, fields, kind: 'request' },
      deny,
      (scope) => new Exchange({ session, place, asked, scope, body, answer, idleMs, deny }),
    )
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, early: Buffer, known: Knowledge): Promise<void> {
    const address = plainAddress(request.socket.remoteAddress ?? '')
    const { place, asked } = this.#read(http1Head(request), known)
    checkHandshake(asked)
    const session = asked.path.startsWith(OWN_PREFIX) ? undefined : await this.#session(address, known)
    if (session === undefined) throw notSignedIn()
    fromOwnPages(asked, place, session.endpoint, 'websocket')
    const assertion = await this.#assertion(session, place)
    const fields = await this.#fields(session, { asked, place, address, assertion })
    if (socket.destroyed) return
    const deny = (why: unknown) => this.#deny(why, known, { kind: 'websocket', socket })
    const { headersMs } = this.#parts.settings
    this.#go(
      session,
      { asked, assertion, fields, kind: 'websocket' },
      deny,
      (scope) => new WebSocketRelay({ session, place, asked, scope, client: socket, early, headersMs, deny }),
    )
  }

  #read(head: Head, known: Knowledge): { readonly place: Place; readonly asked: Asked } {
    const { settings, road } = this.#parts
    const place = this.#placeOf(head.host)
    if (place === undefined)
      throw new HttpRefusal(421, 'NOT_FOUND', 'Nothing is served under this name.', {
        next: `The gateway is at ${settings.publicUrl}.`,
      })
    known.place = place
    const encodedSlashes = road.admit.target(place.target)?.http?.encodedSlashes === true
    const asked = readRequest(head, { encodedSlashes })
    known.asked = asked
    return { place, asked }
  }

  /** Undefined for a stranger. */
  async #session(address: string, known: Knowledge): Promise<LiveSession | undefined> {
    const { asked, place } = known
    const secret = asked && webSecretOf(asked)
    if (asked === undefined || place === undefined || secret === undefined) return undefined
    const visitor = await this.#visits.visitor(secret, place.target, { quiet: isQuiet(asked) })
    if (visitor === undefined) return undefined
    known.identity = visitor.identity
    try {
      return await visitor.session({
        address,
        version: (valueOf(asked.fields, 'user-agent') ?? '').slice(0, LONGEST_VERSION),
      })
    } catch (failure) {
      this.#refused.note(visitor.identity, place.target, failure)
      throw failure
    }
  }

  #assertion(session: LiveSession, place: Place): Promise<Assertion> {
    const { identity, grant } = session.admission
    return this.#assertions.about(session, identity, place.target, grant.id)
  }

  async #fields(
    session: LiveSession,
    about: {
      readonly asked: Asked
      readonly place: Place
      readonly address: string
      readonly assertion: Assertion
    },
  ): Promise<readonly string[]> {
    const { username, groups } = session.admission.identity
    return towardsTarget(about.asked, session.endpoint, {
      place: about.place,
      clientAddress: about.address,
      assertion: about.assertion.token,
      username,
      groups,
      authorization: await session.upstream.authorization(),
      plainBodies: (session.scope?.record.bodyBytes ?? 0) > 0,
    })
  }

  /** Judge → journal → look at the grant again → forward: the road's order. */
  #go(
    session: LiveSession,
    what: {
      readonly asked: Asked
      readonly assertion: Assertion
      readonly fields: readonly string[]
      readonly kind: 'request' | 'websocket'
    },
    deny: (why: unknown) => void,
    make: (scope: HttpScope) => UnderWay & { start(n: number, fields: readonly string[]): void },
  ): void {
    const { asked, assertion, fields, kind } = what
    const { scope } = session
    const { verdict, refusal } = judge(scope, asked, kind)
    const underWay = scope === undefined ? { cut: deny, start: () => undefined } : make(scope)
    session.enter(underWay)
    const text = recordedText(asked, scope?.record.query ?? 'none')
    session.statement(
      {
        statement: { kind: 'http', text },
        verdict,
        record: { headers: [...recordedFields(asked.fields), ['sallyport-assertion-id', assertion.id]] },
      },
      (n) => underWay.start(n, fields),
      () => {
        session.leave(underWay)
        deny(refusal ?? new Refusal('NOT_ALLOWED', 'This was refused.'))
      },
    )
  }

  /** Paths that are the gateway's on every target's name. */
  async #own(asked: Asked, place: Place, answer: Answer): Promise<void> {
    const { sessions } = this.#parts
    if (asked.path === ENTER_PATH && asked.method === 'GET') return finishHandOver(asked, place, sessions, answer)
    if (asked.path === SIGN_OUT_PATH && asked.method === 'POST') {
      fromOwnPages(asked, place, {}, 'request')
      const secret = webSecretOf(asked)
      if (secret !== undefined) {
        await sessions.end(secret, place.target)
        await this.#visits.forget(secret, place.target, new Refusal('NOT_SIGNED_IN', 'You signed out.'))
      }
      answer.say(
        204,
        [
          ['set-cookie', goneCookie(WEB_COOKIE)],
          ['cache-control', 'no-store'],
        ],
        '',
      )
      return
    }
    throw new Refusal('NOT_FOUND', 'There is nothing here.')
  }

  /** A browser goes to the portal and comes back; everybody else is told. */
  #stranger(asked: Asked, place: Place, answer: Answer): void {
    if (!isPage(asked) || (asked.method !== 'GET' && asked.method !== 'HEAD')) throw notSignedIn()
    const { location, cookie } = beginHandOver(asked, place, this.#parts.settings, asked.url)
    answer.say(
      302,
      [
        ['location', location],
        ['set-cookie', cookie],
        ['cache-control', 'no-store'],
        ['content-length', '0'],
      ],
      '',
    )
  }

  #deny(why: unknown, known: Knowledge, way: Way): void {
    this.#explain(why, known, way).catch((error: unknown) => {
      this.#parts.notes.log({ level: 'error', room: 'http', message: 'a refusal could not be explained', error })
      if (way.kind === 'request') way.answer.breakOff()
      else way.socket.destroy()
    })
  }

  async #explain(why: unknown, { place, asked, identity }: Knowledge, way: Way): Promise<void> {
    const { settings, notes, road } = this.#parts
    const where = `${asked?.method ?? '?'} ${place?.target ?? '?'}${asked?.path.slice(0, LONGEST_VERSION) ?? ''}`
    let no = denial(why, where, notes.log)
    const page = asked !== undefined && way.kind === 'request' && isPage(asked)
    let saying: Saying = { isPage: page }
    if (place !== undefined && asked !== undefined) {
      const returnTo = asked.method === 'GET' && !asked.path.startsWith(OWN_PREFIX) ? asked.url : '/'
      if (isAboutAccess(why) && identity !== undefined) {
        const words = await noAccess(
          { settings, notes, desk: road.desk },
          { identity, target: place.target, returnTo, no },
        ).catch(() => undefined)
        if (words !== undefined) {
          no = page ? words.no : { ...words.no, status: 403 }
          saying = { ...saying, ...words.saying }
          // The page has a button for it.
          if (page && words.saying.links !== undefined) no = { ...no, next: undefined }
        }
      } else if (why instanceof Refusal && (why.code === 'NOT_SIGNED_IN' || why.code === 'MFA_MISSING'))
        saying = { ...saying, ...this.#signInAgain(asked, place, returnTo, why) }
    }
    if (way.kind === 'request') sendDenial(way.answer, no, saying, settings.draw)
    else endUpgrade(way.socket, no, saying)
  }

  #signInAgain(asked: Asked, place: Place, returnTo: string, why: Refusal): Omit<Saying, 'isPage'> {
    const { settings } = this.#parts
    const { location, cookie } = beginHandOver(asked, place, settings, returnTo)
    const { pathname, search } = new URL(location)
    const fresh = new URLSearchParams({ fresh: '1', returnTo: `${pathname}${search}` })
    const href =
      why.code === 'MFA_MISSING' ? `${settings.publicUrl}${settings.portalPaths.signIn}?${fresh.toString()}` : location
    const title = why.code === 'MFA_MISSING' ? { title: 'Sign in again' } : {}
    return { cookies: [cookie], links: [{ label: 'Sign in', href }], signIn: place.origin, ...title }
  }
}

const notSignedIn = (): Refusal =>
  new Refusal('NOT_SIGNED_IN', 'You are not signed in here.', { next: 'Open this address in a browser and sign in.' })

/** Whether a person looks at the answer as a page. */
function isPage({ fields }: Asked): boolean {
  const mode = valueOf(fields, 'sec-fetch-mode')
  return mode === undefined ? (valueOf(fields, 'accept') ?? '').includes('text/html') : mode === 'navigate'
}

/** What a page does by itself keeps nobody signed in. */
const isQuiet = (asked: Asked): boolean =>
  !isPage(asked) && (asked.method === 'GET' || asked.method === 'HEAD' || asked.method === 'OPTIONS')

/** IPv4 in its own form. Headers about addresses are not believed. */
const plainAddress = (address: string): string =>
  address.startsWith('::') ? address.replace(/^::ffff:(?=\d+\.)/i, '') : address
