/** The rule of a role for web applications: pure, on the exact request that will be sent. What can be read in two ways must be allowed in both. */
import { Refusal } from '../model/refusal.ts'
import type { HttpScope } from '../model/role.ts'
import { ALLOW, type Verdict } from '../model/statement.ts'
import type { Asked } from './asked.ts'
import { HttpRefusal } from './deny.ts'

const LOOKING = new Set(['GET', 'HEAD', 'OPTIONS'])
const OVERRIDES = /^x-(http-)?method(-override)?$/

/** `refusal` is what the person is told where the verdict is no. */
export type Ruling = { readonly verdict: Verdict; readonly refusal?: Refusal }

const NEXT = 'Ask for a role that allows it.'
const ALLOWED: Ruling = { verdict: ALLOW }

/** A role without a scope for http opens nothing. */
export function judge(scope: HttpScope | undefined, asked: Asked, kind: 'request' | 'websocket'): Ruling {
  if (scope === undefined) return deny('This role opens no web application.')
  const { method, path, query, fields, body } = asked
  if (kind === 'websocket' && !scope.websocket) return deny('This role may not open WebSockets.')
  if (scope.methods.length > 0 && !scope.methods.includes(method))
    return deny(`This role may not use ${method}, only ${scope.methods.join(', ')}.`)
  if (scope.mode === 'read-only') {
    if (!LOOKING.has(method)) return readOnly(`This role may only look: ${method} is refused.`)
    if (body.kind !== 'none') return readOnly(`This role may only look: a ${method} with a body is refused.`)
    const isDisguised = fields.some(([name]) => OVERRIDES.test(name.replaceAll('_', '-'))) || hasMethodIn(query)
    if (isDisguised)
      return readOnly('This role may only look: a request that asks to be read as another method is refused.')
  }
  if (body.kind === 'length' && body.bytes > scope.maxRequestBytes) return ruled(tooLarge(scope))
  const { paths, denyPaths } = scope
  if (paths.length === 0 && denyPaths.length === 0) return ALLOWED
  const readings = readingsOf(path)
  if (readings === undefined)
    return deny('This path can be read in more than one way, and this role has rules for paths.')
  if (denyPaths.some((pattern) => readings.some((reading) => matches(pattern, reading, 'any case'))))
    return deny(`This role may not open ${path}.`)
  if (paths.length > 0 && !readings.every((reading) => paths.some((pattern) => matches(pattern, reading, 'exact'))))
    return deny(`This role may not open ${path}.`)
  return ALLOWED
}

export const tooLarge = ({ maxRequestBytes }: HttpScope): Refusal =>
  new HttpRefusal(413, 'NOT_ALLOWED', `This role may send at most ${megabytes(maxRequestBytes)} MB in one request.`, {
    next: NEXT,
  })

const megabytes = (bytes: number): string => (bytes / 2 ** 20).toLocaleString('en', { maximumFractionDigits: 2 })

const deny = (reason: string): Ruling => ruled(new Refusal('NOT_ALLOWED', reason, { next: NEXT }))
const readOnly = (reason: string): Ruling => ruled(new Refusal('READ_ONLY', reason, { next: NEXT }))
const ruled = (refusal: Refusal): Ruling => ({
  verdict: { decision: 'deny', reason: refusal.message, next: NEXT },
  refusal,
})

/** `?_method=delete`, in whatever escapes: some frameworks obey it. */
function hasMethodIn(query: string): boolean {
  return query
    .slice(1)
    .split(/[&;]/)
    .some((pair) =>
      /^_*method(_override)?$/i.test(decoded((pair.split('=', 1)[0] ?? '').replaceAll('+', ' ')) ?? 'method'),
    )
}

/**
 * What servers may make of a path: as it is, decoded, and without the parameters that some cut off at a semicolon.
 * Undefined for escapes of escapes and bytes that are no UTF-8: nobody knows what a server makes of those.
 */
function readingsOf(path: string): readonly string[] | undefined {
  const plain = decoded(path)
  if (plain === undefined || /%[0-9A-Fa-f]{2}/.test(plain)) return undefined
  const cut = plain
    .split('/')
    .map((segment) => segment.split(';', 1)[0])
    .join('/')
  const readings = new Set([plain, cut])
  // `%2f` was let in by the config: some servers decode it before they choose a page, some after.
  if (/%(2f|5c)/i.test(path)) readings.add(plain.replaceAll('\\', '/'))
  const bare = [...readings].filter((reading) => reading.length > 1 && reading.endsWith('/'))
  return [...readings, ...bare.map((reading) => reading.slice(0, -1))]
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text).normalize('NFC')
  } catch {
    return undefined
  }
}

/** `*` is any part of one segment, `**` anything; `/admin/**` is also `/admin` itself. No regular expression: a pattern cannot be slow. */
export function matches(pattern: string, path: string, how: 'exact' | 'any case'): boolean {
  const [rule, text] = how === 'exact' ? [pattern, path] : [pattern.toLowerCase(), path.toLowerCase()]
  if (rule.endsWith('/**') && text === rule.slice(0, -3)) return true
  // Which places of the pattern the text so far can have led to.
  let places = closure(rule, new Set([0]))
  for (const character of text) {
    const next = new Set<number>()
    for (const at of places) {
      if (rule[at] === '*') {
        if (character !== '/' || rule[at + 1] === '*' || rule[at - 1] === '*') next.add(at)
      } else if (rule[at] === character) next.add(at + 1)
    }
    places = closure(rule, next)
  }
  return places.has(rule.length)
}

/** A star may stand for nothing. */
function closure(rule: string, places: Set<number>): Set<number> {
  for (const at of places) if (rule[at] === '*') places.add(at + 1)
  return places
}
