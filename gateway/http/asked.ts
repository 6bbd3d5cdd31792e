/** One request as it will be judged, recorded and sent: the same bytes each time. What two readers could read differently is refused. */
import { MalformedMessage } from '../model/refusal.ts'
import type { Head } from './call.ts'
import { forTarget } from './cookies.ts'
import { ALLOWED } from './fields.ts'

/** Name in lower case; the value as it came, in latin1. */
export type Field = readonly [name: string, value: string]

export type Asked = {
  readonly method: string
  /** Path and query, byte for byte as they came and as they will go. */
  readonly url: string
  readonly path: string
  /** With its `?`; empty without. */
  readonly query: string
  /** Without cookies of the gateway: nothing that is made of them can tell those to anybody. */
  readonly fields: readonly Field[]
  /** The gateway's own cookies, `name=value`. */
  readonly ownCookies: readonly string[]
  readonly body: { readonly kind: 'none' | 'chunked' } | { readonly kind: 'length'; readonly bytes: number }
}

const LONGEST_URL = 8 * 1024
const MOST_FIELDS = 100
/** Nobody reads it in another way: most are like that. */
const PLAIN_PATH = /^(?:\/[\w~-][\w.~-]*)+\/?$/
/** What RFC 3986 and browsers put into a path and a query; a fragment is never sent, a backslash is a slash to some. */
const PATH = /^\/[\x21\x24-\x3b\x3d\x40-\x5b\x5d-\x7e]*$/
const QUERY = /^(\?[\x21\x22\x24-\x7e]*)?$/
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
/** Names as browsers write them: what is known needs no look at each of its letters, here and wherever the name is looked up again. */
const KNOWN_NAMES: ReadonlyMap<string, string> = new Map(
  [...ALLOWED, 'connection', 'content-length', 'host'].flatMap((name) => [
    [name, name],
    [name.replaceAll(/(?<=^|-)[a-z]/g, (first) => first.toUpperCase()), name],
  ]),
)
/** CONNECT makes a tunnel, TRACE (and its old twin) echoes credentials. */
const NEVER = new Set(['CONNECT', 'TRACE', 'TRACK'])

/** @throws {MalformedMessage} with a sentence for the person; the connection ends. */
export function readRequest(head: Head, how: { readonly encodedSlashes: boolean }): Asked {
  const { method, url, version } = head
  if (version !== '1.1' && version !== '2.0') throw new MalformedMessage('This door speaks HTTP/1.1 and HTTP/2.')
  if (!TOKEN.test(method)) throw new MalformedMessage('The method is no word.')
  if (NEVER.has(method)) throw new MalformedMessage(`${method} is not for a gateway.`)
  const { fields, ownCookies } = readFields(head.fields)
  if (valueOf(fields, 'host') === undefined) throw new MalformedMessage('A request has one Host header.')
  const mark = url.indexOf('?')
  const [path, query] = mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark)]
  const wrong = url.length > LONGEST_URL ? 'The address is too long.' : wrongPath(path, query, how)
  if (wrong !== undefined) throw new MalformedMessage(wrong)
  return { method, url, path, query, fields, ownCookies, body: bodyOf(fields, head.hasBody) }
}

/** Why a path can be read in more than one way; undefined when it cannot. */
function wrongPath(path: string, query: string, how: { readonly encodedSlashes: boolean }): string | undefined {
  if (query === '' && PLAIN_PATH.test(path)) return undefined
  if (!path.startsWith('/')) return 'The address must be a path that begins with a slash.'
  if (!PATH.test(path)) return 'The path has a character that does not belong into a path.'
  if (!QUERY.test(query)) return 'The query has a character that does not belong into a query.'
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return 'The path has a percent sign that is not an escape.'
  if (/%([01][0-9A-Fa-f]|7[Ff])/.test(path)) return 'The path has a control character.'
  if (/%2e/i.test(path)) return 'The path has an encoded dot.'
  if (!how.encodedSlashes && /%(2f|5c)/i.test(path)) return 'The path has an encoded slash.'
  const slashes = path.includes('%') ? path.replaceAll(/%(2f|5c)/gi, '/') : path
  // Servers of Java cut a segment at its semicolon before they look for dots.
  if (/\/\.{1,2}(?:[;/]|$)/.test(slashes)) return 'The path has dot segments.'
  if (slashes.includes('//')) return 'The path has an empty segment.'
  return undefined
}

function readFields(raw: readonly string[]): Pick<Asked, 'fields' | 'ownCookies'> {
  if (raw.length > 2 * MOST_FIELDS) throw new MalformedMessage('There are too many headers.')
  const fields: Field[] = []
  const ownCookies: string[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = '', value = ''] = [raw[i], raw[i + 1]]
    const known = KNOWN_NAMES.get(name)
    if ((known === undefined && !TOKEN.test(name)) || !VALUE.test(value))
      throw new MalformedMessage('A header has characters that do not belong.')
    const lower = known ?? name.toLowerCase()
    const kept = lower === 'cookie' ? forTarget(value, ownCookies) : value
    if (lower !== 'cookie' || kept !== '') fields.push([lower, kept])
  }
  return { fields, ownCookies }
}

/** RFC 9112 §6.3, and stricter: one length or one `chunked`, never both, never twice. HTTP/2 says by itself whether there is one. */
function bodyOf(fields: readonly Field[], hasBody: boolean | undefined): Asked['body'] {
  const framing = fields.filter(([name]) => name === 'content-length' || name === 'transfer-encoding')
  if (framing.length > 1) throw new MalformedMessage('The request says more than once how long it is.')
  const [said] = framing
  if (said === undefined) return { kind: hasBody === true ? 'chunked' : 'none' }
  const [name, length] = said
  if (name === 'transfer-encoding') {
    if (length.toLowerCase() !== 'chunked') throw new MalformedMessage('The body may be chunked, and nothing else.')
    return { kind: 'chunked' }
  }
  if (!/^\d{1,15}$/.test(length)) throw new MalformedMessage('The length of the body is not a number.')
  const bytes = Number(length)
  if (bytes === 0) return { kind: 'none' }
  if (hasBody === false) throw new MalformedMessage('The body that was announced is not there.')
  return { kind: 'length', bytes }
}

export const valuesOf = (fields: readonly Field[], name: string): readonly string[] =>
  fields.filter(([given]) => given === name).map(([, value]) => value)

/** The value of a header that is there once; a header that comes twice counts as none. */
export function valueOf(fields: readonly Field[], name: string): string | undefined {
  let found: string | undefined
  for (const [given, value] of fields) {
    if (given !== name) continue
    if (found !== undefined) return undefined
    found = value
  }
  return found
}
