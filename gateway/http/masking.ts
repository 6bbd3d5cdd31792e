/** What of a request and its answer is recorded: an aid for auditors. Secrets never are. */
import type { HttpScope } from '../model/role.ts'
import type { Asked, Field } from './asked.ts'
import { cookieNames } from './cookies.ts'

const MASK = '***'
const CREDENTIALS = ['authorization', 'proxy-authorization', 'x-csrf-token', 'x-csrftoken', 'x-xsrf-token']
const KEPT =
  `accept content-disposition content-encoding content-length content-range content-type etag host last-event-id
   origin range retry-after server upgrade user-agent x-http-method x-http-method-override x-method-override x-request-id`.split(
    /\s+/,
  )
const SECRET_PARAMETER =
  /(pass(word|wd|phrase)?|secret|token|api_?key|access_?key|auth(orization)?|credential|signature|^sig$|^code$|^key$|^jwt$|^otp$|^session(id)?$|^x-amz-)/i
const LONGEST = 512

const withoutQuery = (address: string): string => (address.split(/[?#]/, 1)[0] ?? '').slice(0, LONGEST)

/** What is written of a header's value; of all others nothing is. */
const RECORDED: ReadonlyMap<string, (value: string) => string> = new Map([
  ...KEPT.map((name) => [name, (value: string) => value.slice(0, LONGEST)] as const),
  ...CREDENTIALS.map((name) => [name, () => MASK] as const),
  ['cookie', cookieNames],
  ['set-cookie', (value) => cookieNames(value.split(';', 1)[0] ?? '')],
  ['referer', withoutQuery],
  ['location', withoutQuery],
])

export function recordedFields(fields: readonly Field[]): Field[] {
  const kept: Field[] = []
  for (const [name, value] of fields) {
    const recorded = RECORDED.get(name)
    if (recorded !== undefined) kept.push([name, recorded(value)])
  }
  return kept
}

/** `GET /path?query`, the query by policy. */
export function recordedText({ method, path, query }: Asked, policy: HttpScope['record']['query']): string {
  return `${method} ${path}${recordedQuery(query, policy)}`
}

function recordedQuery(query: string, policy: HttpScope['record']['query']): string {
  if (query.length < 2 || policy === 'none') return query === '' ? '' : '?'
  const pairs = query
    .slice(1)
    .split('&')
    .map((pair) => {
      const end = pair.indexOf('=')
      if (end < 0) return pair
      const name = pair.slice(0, end)
      return policy === 'names' || isSecret(pair) ? `${name}=${MASK}` : pair
    })
  return `?${pairs.join('&')}`
}

/** A semicolon separates for some servers, and is part of a value for the others. */
const isSecret = (pair: string): boolean =>
  pair.split(';').some((part) => SECRET_PARAMETER.test(plain(part.split('=', 1)[0] ?? '')))

function plain(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return 'secret'
  }
}
