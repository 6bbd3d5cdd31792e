/** Our two cookies. The `__Host-` prefix makes browsers keep them to this host and to TLS, whatever other hosts of the domain do. */

/** The signed-in session. */
export const SESSION_COOKIE = '__Host-sallyport'
/** A sign-in under way; gone once the browser is back from the provider. */
export const SIGN_IN_COOKIE = '__Host-sallyport-sign-in'

const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax'
const SIGN_IN_SECONDS = 600

export const sessionCookie = (value: string): string => `${SESSION_COOKIE}=${value}; ${ATTRIBUTES}`
export const signInCookie = (value: string): string =>
  `${SIGN_IN_COOKIE}=${value}; Max-Age=${SIGN_IN_SECONDS}; ${ATTRIBUTES}`
export const goneCookie = (name: string): string => `${name}=; Max-Age=0; ${ATTRIBUTES}`

/** The value of one cookie of a `Cookie` header. A name that comes twice is an attack or an accident: neither counts. */
export function cookieOf(header: string | undefined, name: string): string | undefined {
  const values = (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1))
  return values.length === 1 && values[0] !== '' ? values[0] : undefined
}
