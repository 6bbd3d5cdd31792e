/** A "no" in the words of HTTP: a page for people, JSON for programs, a reference for both. */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Log } from '../model/log.ts'
import { Fault, MalformedMessage, Refusal, type RefusalCode } from '../model/refusal.ts'
import type { Field } from './asked.ts'
import type { Answer } from './call.ts'
import { sayOn } from './http1-call.ts'
import type { Draw, Page } from './pages.ts'

/** A refusal whose status is not that of its code. */
export class HttpRefusal extends Refusal {
  readonly status: number
  constructor(status: number, code: RefusalCode, message: string, options?: ErrorOptions & { readonly next?: string }) {
    super(code, message, options)
    this.status = status
  }
}

export type Denial = {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly next: string | undefined
  readonly reference: string
}

/** Turns whatever was thrown into an answer, and tells the log under the reference that the person sees. */
export function denial(error: unknown, where: string, log: Log): Denial {
  const reference = error instanceof Fault ? error.reference : randomBytes(4).toString('hex')
  const details = { reference, where }
  if (error instanceof Refusal) {
    const status = error instanceof HttpRefusal ? error.status : error.wire.status
    log({ level: 'info', room: 'http', message: 'refused', details: { ...details, code: error.code } })
    return { status, code: error.code, message: error.message, next: error.next, reference }
  }
  if (error instanceof MalformedMessage) {
    log({
      level: 'info',
      room: 'http',
      message: 'a request cannot be read',
      details: { ...details, why: error.message },
    })
    return { status: 400, code: 'MALFORMED', message: error.message, next: undefined, reference }
  }
  log({ level: 'error', room: 'http', message: 'a request failed', details, error })
  const next = 'Try again. If it stays so, tell an operator the reference.'
  return { status: 500, code: 'FAULT', message: 'The gateway could not do this.', next, reference }
}

export type Saying = {
  /** Browsers that show a page get one; everybody else JSON. */
  readonly isPage: boolean
  readonly cookies?: readonly string[]
  readonly links?: Page['links']
  /** More paragraphs for the page. */
  readonly more?: readonly string[]
  /** Where a program's person has to go. */
  readonly signIn?: string
  /** Seconds after which the page looks again. */
  readonly refresh?: number
  readonly title?: string
}

const COMMON: readonly Field[] = [
  ['cache-control', 'no-store'],
  ['x-content-type-options', 'nosniff'],
  ['referrer-policy', 'no-referrer'],
]

/** Does nothing when an answer is already under way. */
export function sendDenial(answer: Answer, no: Denial, how: Saying, draw: Draw): void {
  if (answer.hasBegun || answer.isGone) return
  const { fields, body } = written(no, how, draw)
  answer.say(no.status, fields, body)
}

/** The same where an upgrade was asked for: by a script, so in JSON. */
export function endUpgrade(socket: Duplex, no: Denial, how: Saying): void {
  const { fields, body } = written(no, how, undefined)
  sayOn(socket, no.status, fields, body)
}

function written(
  no: Denial,
  how: Saying,
  draw: Draw | undefined,
): { readonly fields: readonly Field[]; readonly body: string } {
  const page = how.isPage ? draw?.(pageOf(no, how)) : undefined
  const body = page?.html ?? `${JSON.stringify(jsonOf(no, how))}\n`
  return {
    fields: [
      ...COMMON,
      ...(page === undefined ? [] : [['content-security-policy', page.policy] as const]),
      ['content-type', page === undefined ? 'application/json; charset=utf-8' : 'text/html; charset=utf-8'],
      ['content-length', String(Buffer.byteLength(body))],
      ...(how.cookies ?? []).map((cookie) => ['set-cookie', cookie] as const),
    ],
    body,
  }
}

const jsonOf = ({ code, message, next, reference }: Denial, { signIn }: Saying): object => ({
  error: { code, message, next: next ?? null, reference, ...(signIn === undefined ? {} : { signIn }) },
})

const TITLES: Readonly<Record<number, string>> = {
  400: 'This request cannot be read',
  401: 'You are not signed in here',
  403: 'This was refused',
  404: 'There is nothing here',
  408: 'That took too long',
  413: 'This is too large',
  421: 'Nothing is served under this name',
  429: 'Too many at once',
  502: 'The application does not answer',
  503: 'Not available at the moment',
  504: 'The application takes too long',
}

const pageOf = (no: Denial, how: Saying): Page => ({
  title: how.title ?? TITLES[no.status] ?? 'Something broke',
  text: [no.message, ...(no.next === undefined ? [] : [no.next]), ...(how.more ?? [])],
  links: how.links ?? [],
  small: `Reference ${no.reference}`,
  refresh: how.refresh,
})
