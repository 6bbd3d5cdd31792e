/** The way of one request: whose name, readable, who, whose page, live grant, judged and journalled, then forwarded. Never another order. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/refusal.ts'
import { PasskeyMissing } from '../session/session.ts'
import { isAboutAccess, noAccess } from './access-words.ts'
import { type Asked, readRequest, valueOf } from './asked.ts'
import { Assertions } from './assertion.ts'
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
import { type Vouched, Vouching } from './vouching.ts'
import { checkHandshake, WebSocketRelay } from './websocket.ts'

const LONGEST_VERSION = 200

/** What is known so far, for whoever has to say no. */
type Knowledge = { place?: Place; asked?: Asked; identity?: Identity }
/** How somebody came, and where the answer goes. `address`: the browser's. */
type Way =
  | Call
  | {
      readonly kind: 'websocket'
      readonly head: Head
      readonly address: string
      readonly socket: Duplex
      /** What was sent along with the handshake. */
      readonly early: Buffer
    }
type Deny = (why: unknown) => void

export class Door implements HttpDoor {
  readonly #parts: HttpParts
  readonly #visits: Visits
  readonly #vouching: Vouching
  readonly #refused: RefusalNotes
  readonly #placeOf: ReturnType<typeof placesOf>

  constructor(parts: HttpParts) {
    this.#parts = parts
    this.#visits = new Visits(parts)
    this.#placeOf = placesOf(parts.settings)
    this.#refused = new RefusalNotes(parts.notes)
    const { clock } = parts.notes
    const assertions = new Assertions({ sessions: parts.sessions, clock, issuer: parts.settings.publicUrl })
    this.#vouching = new Vouching({ assertions, clock })
  }

  request(request: IncomingMessage, response: ServerResponse): void {
    this.#come(http1Call(request, response))
  }

  stream(stream: ServerHttp2Stream, fields: readonly string[]): void {
    const call = http2Call(stream, fields)
    if (call !== undefined) this.#come(call)
  }

  upgrade(request: IncomingMessage, socket: Duplex, early: Buffer): void {
    request.on('error', () => undefined)
    socket.on('error', () => socket.destroy())
    const address = request.socket.remoteAddress ?? ''
    this.#come({ kind: 'websocket', head: http1Head(request), address, socket, early })
  }

  close(): Promise<void> {
    return this.#visits.close()
  }

  #come(way: Way): void {
    const known: Knowledge = {}
    const deny = (why: unknown) => this.#deny(why, known, way)
    try {
      this.#enter(way, known, deny)?.catch(deny)
    } catch (why) {
      deny(why)
    }
  }

  /** Whoever was here a moment ago goes on at once, without a promise: those would cost as much as everything else here. */
  #enter(way: Way, known: Knowledge, deny: Deny): Promise<void> | undefined {
    const { place, asked } = this.#read(way.head, known)
    const isOwn = asked.path.startsWith(OWN_PREFIX)
    if (way.kind === 'websocket') {
      checkHandshake(asked)
      if (isOwn) throw notSignedIn()
    } else if (isOwn) return this.#own(asked, place, way.answer)
    const secret = webSecretOf(asked)
    const session = secret === undefined ? undefined : this.#visits.current(secret, place.target)
    const vouched = session && this.#vouching.recent(session)
    if (session === undefined || vouched === undefined) return this.#look(way, { place, asked, secret }, known, deny)
    known.identity = session.admission.identity
    this.#forward(way, { place, asked, session, vouched }, deny)
    return undefined
  }

  async #look(
    way: Way,
    { place, asked, secret }: { readonly place: Place; readonly asked: Asked; readonly secret: string | undefined },
    known: Knowledge,
    deny: Deny,
  ): Promise<void> {
    const session = secret === undefined ? notSignedIn() : await this.#session(way, { place, asked, secret }, known)
    if (session instanceof Refusal) return this.#byPortal(way, { place, asked, why: session }, known)
    const vouched = await this.#vouching.about(session, place)
    this.#forward(way, { place, asked, session, vouched }, deny)
  }

  /** Judge → journal → look at the grant again → forward: the road's order. */
  #forward(
    way: Way,
    what: {
      readonly place: Place
      readonly asked: Asked
      readonly session: LiveSession
      readonly vouched: Vouched
    },
    deny: Deny,
  ): void {
    const { place, asked, session, vouched } = what
    fromOwnPages(asked, place, session.endpoint, way.kind)
    if (way.kind === 'request' ? way.answer.isGone : way.socket.destroyed) return
    const { scope } = session
    const fields = towardsTarget(asked, session.endpoint, {
      clientAddress: plainAddress(way.address),
      vouched,
      plainBodies: (scope?.record.bodyBytes ?? 0) > 0,
    })
    const { verdict, refusal } = judge(scope, asked, way.kind)
    const underWay = this.#underWay(way, what, deny)
    session.enter(underWay)
    const headers = recordedFields(asked.fields)
    headers.push(['sallyport-assertion-id', vouched.assertion.id])
    const text = recordedText(asked, scope?.record.query ?? 'none')
    session.statement(
      {
        statement: { kind: 'http', text },
        verdict,
        record: { headers },
      },
      (n) => underWay.start(n, fields),
      () => {
        session.leave(underWay)
        deny(refusal ?? new Refusal('NOT_ALLOWED', 'This was refused.'))
      },
    )
  }

  #underWay(
    way: Way,
    { place, asked, session }: { readonly place: Place; readonly asked: Asked; readonly session: LiveSession },
    deny: Deny,
  ): UnderWay & { start(n: number, fields: string[]): void } {
    const { scope } = session
    const { settings } = this.#parts
    if (scope === undefined) return { cut: deny, start: () => undefined }
    return way.kind === 'request'
      ? new Exchange({ session, place, asked, scope, body: way.body, answer: way.answer, settings, deny })
      : new WebSocketRelay({ session, place, asked, scope, client: way.socket, early: way.early, settings, deny })
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

  /** A refusal where the way in leads over the portal. */
  async #session(
    way: Way,
    { place, asked, secret }: { readonly place: Place; readonly asked: Asked; readonly secret: string },
    known: Knowledge,
  ): Promise<LiveSession | Refusal> {
    const visitor = await this.#visits.visitor(secret, place.target, { quiet: isQuiet(asked) })
    if (visitor === undefined) return notSignedIn()
    known.identity = visitor.identity
    try {
      return await visitor.session({
        address: plainAddress(way.address),
        version: (valueOf(asked.fields, 'user-agent') ?? '').slice(0, LONGEST_VERSION),
      })
    } catch (failure) {
      if (failure instanceof PasskeyMissing) return failure
      this.#refused.note(visitor.identity, place.target, failure)
      throw failure
    }
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

  /** A browser that shows a page goes to the portal (to sign in, to touch a passkey) and comes back; everybody else is told. */
  #byPortal(
    way: Way,
    { place, asked, why }: { readonly place: Place; readonly asked: Asked; readonly why: Refusal },
    known: Knowledge,
  ): void {
    if (way.kind === 'websocket' || !isPage(asked) || (asked.method !== 'GET' && asked.method !== 'HEAD')) {
      if (known.identity !== undefined) this.#refused.note(known.identity, place.target, why)
      throw why
    }
    const { location, cookie } = beginHandOver(asked, place, this.#parts.settings, { returnTo: asked.url, why })
    way.answer.say(
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
      } else if (why instanceof PasskeyMissing) {
        const { location, cookie } = beginHandOver(asked, place, settings, { returnTo, why })
        const links = [{ label: 'Use your passkey', href: location }]
        saying = { ...saying, cookies: [cookie], links, signIn: place.origin, title: 'Your passkey is asked for' }
        no = { ...no, next: page ? undefined : `Open ${place.origin} in a browser, and use your passkey there.` }
      } else if (why instanceof Refusal && (why.code === 'NOT_SIGNED_IN' || why.code === 'MFA_MISSING'))
        saying = { ...saying, ...this.#signInAgain(asked, place, returnTo, why) }
    }
    if (way.kind === 'request') sendDenial(way.answer, no, saying, settings.draw)
    else endUpgrade(way.socket, no, saying)
  }

  #signInAgain(asked: Asked, place: Place, returnTo: string, why: Refusal): Omit<Saying, 'isPage'> {
    const { settings } = this.#parts
    const { location, cookie } = beginHandOver(asked, place, settings, { returnTo, why })
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
