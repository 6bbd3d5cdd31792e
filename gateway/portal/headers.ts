/** What browsers are told about every answer: what may run, who may frame it, what leaks. */
import { isIP } from 'node:net'

/** The application: scripts and styles of ours, or with this answer's nonce. */
export const applicationPolicy = (nonce: string): string =>
  policy({
    'default-src': "'none'",
    'script-src': `'self' 'nonce-${nonce}'`,
    'style-src': `'self' 'nonce-${nonce}'`,
    'img-src': "'self' data:",
    'font-src': "'self'",
    'connect-src': "'self'",
    'worker-src': "'self' blob:",
    'manifest-src': "'self'",
    'base-uri': "'none'",
    'form-action': "'self'",
    'frame-ancestors': "'none'",
  })

/** A plain page of ours: no script at all. */
export const pagePolicy = (nonce: string): string =>
  policy({
    'default-src': "'none'",
    'style-src': `'nonce-${nonce}'`,
    'img-src': 'data:',
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
  })

/** A page with a form for us; what we answer may send the browser on to `onward`, which browsers count as part of the form. */
export const formPolicy = (nonce: string, onward: string): string =>
  pagePolicy(nonce).replace("form-action 'none'", `form-action 'self' ${onward}`)

/** Everything that is not a page. */
const NO_PAGE_POLICY = policy({ 'default-src': "'none'", 'base-uri': "'none'", 'frame-ancestors': "'none'" })

function policy(directives: Readonly<Record<string, string>>): string {
  return Object.entries(directives)
    .map(([name, sources]) => `${name} ${sources}`)
    .join('; ')
}

/** Headers of every answer; pages put their own policy in place of the strictest one. */
export function commonHeaders(publicUrl: URL): Readonly<Record<string, string>> {
  return {
    'content-security-policy': NO_PAGE_POLICY,
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy':
      'camera=(), geolocation=(), microphone=(), payment=(), usb=(), serial=(), hid=(), display-capture=()',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cache-control': 'no-store',
    ...(isLocal(publicUrl.hostname) ? {} : { 'strict-transport-security': 'max-age=31536000' }),
  }
}

/** Browsers would refuse plain http on every port of such a host for a year. */
const isLocal = (hostname: string): boolean =>
  hostname === 'localhost' || hostname.endsWith('.localhost') || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
