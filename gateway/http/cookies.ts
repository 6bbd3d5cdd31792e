/** Cookies of the gateway and of targets kept apart: ours never reach a target, a target's stay with its own name. */

/** A browser that was handed over from the portal. For one target: the `__Host-` prefix keeps it on that host. */
export const WEB_COOKIE = '__Host-sallyport-web'
/** Ties a hand-over under way to the browser that began it. */
export const ENTER_COOKIE = '__Host-sallyport-web-enter'

const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax'
const ENTER_SECONDS = 600
/** Nameless cookies (`=x=y`) come back as `x=y`: the sign is no part of the name for us. */
const OURS = /^[\s=]*__(host|secure)-sallyport/i

export const webCookie = (value: string): string => `${WEB_COOKIE}=${value}; ${ATTRIBUTES}`
export const enterCookie = (value: string): string =>
  `${ENTER_COOKIE}=${value}; Max-Age=${ENTER_SECONDS}; ${ATTRIBUTES}`
export const goneCookie = (name: string): string => `${name}=; Max-Age=0; ${ATTRIBUTES}`

/** The value of one of our cookies among `pairs`; a name that comes twice is an attack or an accident, and neither counts. */
export function cookieOf(pairs: readonly string[], name: string): string | undefined {
  let found: string | undefined
  for (const pair of pairs) {
    if (!pair.startsWith(name) || pair[name.length] !== '=') continue
    if (found !== undefined) return undefined
    found = pair.slice(name.length + 1)
  }
  return found === '' ? undefined : found
}

/** A `Cookie` header without ours, whose pairs go into `ours`; empty when nothing is left. */
export function forTarget(header: string, ours: string[]): string {
  let kept = ''
  for (const part of header.split(';')) {
    const pair = part.trim()
    if (OURS.test(pair)) ours.push(pair)
    else if (pair !== '') kept += kept === '' ? pair : `; ${pair}`
  }
  return kept
}

/** A `Set-Cookie` of a target for the browser: its own host only, TLS only. Undefined: it wants to be one of ours. */
export function fromTarget(header: string): string | undefined {
  if (OURS.test(header)) return undefined
  const [pair = '', ...attributes] = header.split(';')
  const kept = attributes.map((attribute) => attribute.trim()).filter((a) => a !== '' && !/^domain\s*(=|$)/i.test(a))
  if (!kept.some((attribute) => /^secure\s*(=|$)/i.test(attribute))) kept.push('Secure')
  return [pair.trim(), ...kept].join('; ')
}

/** For the recording: names, never values. */
export const cookieNames = (header: string): string =>
  header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .map((pair) => `${pair.slice(0, Math.max(0, pair.indexOf('=')))}=***`)
    .join('; ')
