/** Headers from one side to the other: to the target a list built anew from what is allowed, to the browser what is not between neighbours only. */
import type { Identity } from '../model/identity.ts'
import type { HttpEndpoint } from '../model/target.ts'
import type { Asked, Field } from './asked.ts'
import { fromTarget } from './cookies.ts'
import type { Place } from './place.ts'

/** Everything that browsers and plain API clients say end to end, and nothing that could name a person, a network or another method. */
export const ALLOWED: ReadonlySet<string> = new Set(
  `accept accept-charset accept-encoding accept-language access-control-request-headers access-control-request-method
   cache-control content-disposition content-encoding content-language content-location content-range content-type cookie date depth destination
   dnt etag if if-match if-modified-since if-none-match if-range if-unmodified-since last-event-id lock-token
   max-forwards origin overwrite pragma priority purpose range referer save-data sec-ch-ua sec-ch-ua-mobile
   sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-purpose service-worker timeout
   traceparent tracestate upgrade-insecure-requests user-agent want-content-digest content-digest
   x-requested-with x-csrf-token x-csrftoken x-xsrf-token x-request-id x-correlation-id
   hx-request hx-target hx-trigger hx-trigger-name hx-current-url hx-boosted hx-prompt turbo-frame`.split(/\s+/),
)
const ALLOWED_BEGINNINGS = ['sec-ch-', 'sec-fetch-', 'accept-']
/** Whatever the config allows, these are said by the gateway or by nobody. Underscores are hyphens to CGI and its descendants. */
const OURS = /^(x-forwarded-|sallyport-|forwarded|x-real-ip|via$|proxy-|x-http-method|x-method-override)/

/** Between two neighbours (RFC 9110 §7.6.1). */
const NEIGHBOURS = new Set(
  'connection http2-settings keep-alive proxy-authenticate proxy-authorization proxy-connection te transfer-encoding upgrade'.split(
    ' ',
  ),
)
/** `alt-svc` would lead browsers past the gateway, `clear-site-data` would clear cookies of the portal and of other targets. */
const NOT_FROM_TARGETS = new Set(['alt-svc', 'clear-site-data', 'public-key-pins'])

/** What the gateway says about the person and the way: the same for all requests of a session. Name, value, name, value. */
export function aboutPerson(
  endpoint: HttpEndpoint,
  place: Place,
  about: {
    readonly identity: Pick<Identity, 'username' | 'groups'>
    readonly assertion: string
    /** `Basic …` or `Bearer …`. */
    readonly authorization: string | undefined
  },
): readonly string[] {
  const { username, groups } = about.identity
  const out = [
    'host',
    endpoint.hostHeader === 'target' ? new URL(endpoint.url).host : place.host,
    'x-forwarded-host',
    place.host,
    'x-forwarded-proto',
    'https',
    'sallyport-assertion',
    about.assertion,
  ]
  if (endpoint.identityHeaders === true)
    out.push('x-forwarded-user', username, 'x-forwarded-groups', latin(groups.join(',')))
  if (about.authorization !== undefined) out.push('authorization', about.authorization)
  return out
}

/** Name, value, name, value. No framing and no connection headers: those belong to whoever writes the message. */
export function towardsTarget(
  asked: Asked,
  endpoint: HttpEndpoint,
  how: {
    readonly clientAddress: string
    readonly vouched: { readonly fields: readonly string[]; readonly isAuthorized: boolean }
    /** Bodies are recorded, so they must be readable. */
    readonly plainBodies: boolean
  },
): string[] {
  const { vouched } = how
  const out = [...vouched.fields, 'x-forwarded-for', how.clientAddress]
  const named = namedByConnection(asked.fields)
  for (const [name, value] of asked.fields) {
    if (named.has(name)) continue
    if (name === 'accept-encoding' && how.plainBodies) out.push(name, 'identity')
    else if (isAllowed(name, endpoint) && !(name === 'authorization' && vouched.isAuthorized)) out.push(name, value)
  }
  return out
}

function isAllowed(name: string, { requestHeaders = [] }: HttpEndpoint): boolean {
  if (ALLOWED.has(name)) return true
  if (name.includes('_') || OURS.test(name) || NEIGHBOURS.has(name)) return false
  if (name === 'host' || name === 'content-length' || name === 'expect' || name === 'trailer') return false
  if (ALLOWED_BEGINNINGS.some((beginning) => name.startsWith(beginning))) return true
  return requestHeaders.some((rule) => (rule.endsWith('*') ? name.startsWith(rule.slice(0, -1)) : name === rule))
}

function namedByConnection(fields: readonly Field[]): ReadonlySet<string> {
  let named: Set<string> | undefined
  for (const [name, value] of fields) {
    if (name !== 'connection' && name !== 'proxy-connection') continue
    named ??= new Set()
    for (const word of value.toLowerCase().split(',')) named.add(word.trim())
  }
  return named ?? NOTHING
}
const NOTHING: ReadonlySet<string> = new Set()

/** Header values are bytes; what does not fit is a question mark. */
const latin = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '?')

/** What a target says, as undici has read it: names in lower case, values in latin1, a list where a name came more than once. */
export type TargetFields = Readonly<Record<string, string | readonly string[] | undefined>>

/** What the target answered, for the browser. */
export function towardsBrowser(said: TargetFields, endpoint: HttpEndpoint, place: Place): Field[] {
  const fields = fieldsOf(said)
  const named = namedByConnection(fields)
  const isChunked = said['transfer-encoding'] !== undefined
  const out: Field[] = []
  for (const field of fields) {
    const [name, value] = field
    if (NEIGHBOURS.has(name) || NOT_FROM_TARGETS.has(name) || named.has(name) || name.startsWith('sallyport-')) continue
    if (name === 'content-length' && isChunked) continue
    if (name === 'set-cookie') {
      const kept = fromTarget(value)
      if (kept !== undefined) out.push([name, kept])
    } else if (name === 'location' || name === 'content-location') out.push([name, publicly(value, endpoint, place)])
    else out.push(field)
  }
  return out
}

export function fieldsOf(said: TargetFields): Field[] {
  const fields: Field[] = []
  for (const name of Object.keys(said)) {
    const value = said[name]
    if (typeof value === 'string') fields.push([name, value])
    else for (const each of value ?? []) fields.push([name, each])
  }
  return fields
}

/** Name, value, name, value. */
export function flat(fields: readonly Field[]): string[] {
  const out: string[] = []
  for (const [name, value] of fields) out.push(name, value)
  return out
}

/** RFC 9110 §6.5.1: nothing that changes framing, routing or cookies comes late; and what comes late is a field at all. */
export const isTrailer = ([name, value]: Field): boolean =>
  /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) &&
  /^[\t\x20-\x7e\x80-\xff]*$/.test(value) &&
  !NEIGHBOURS.has(name) &&
  !/^(content-.*|host|set-cookie|trailer|location|cache-control|sallyport-.*)$/.test(name)

/** A redirect to the target's own address leads nowhere from outside. */
function publicly(location: string, { url }: HttpEndpoint, place: Place): string {
  const own = URL.parse(location)
  return own !== null && own.origin === new URL(url).origin
    ? `${place.origin}${location.slice(prefix(location))}`
    : location
}

/** Where the path begins. */
function prefix(location: string): number {
  const start = location.indexOf('//') + 2
  const end = location.slice(start).search(/[/?#]/)
  return end < 0 ? location.length : start + end
}
