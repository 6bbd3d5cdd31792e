/** A browser as the recording names it: an address, and a program with its version. What it says of itself proves nothing. */
import type { PageGuest } from '../../session/session.ts'
import type { Client } from '../engine/contract.ts'

export const clientOf = (guest: PageGuest, closed: AbortSignal): Client => ({
  origin: { address: guest.address, port: 0 },
  clientVersion: ['browser', nameOf(guest.browser)].join(' ').trim(),
  closed,
})

/** `Firefox/145.0`: the most telling part of a User-Agent header, printable ASCII only. */
function nameOf(userAgent: string): string {
  const part = ['Firefox', 'Edg', 'OPR', 'Chrome', 'HeadlessChrome', 'Version'].find((name) =>
    userAgent.includes(`${name}/`),
  )
  const version = part === undefined ? undefined : new RegExp(`${part}/([\\w.]{1,32})`).exec(userAgent)?.[1]
  return part === undefined || version === undefined ? '' : `${part === 'Version' ? 'Safari' : part}/${version}`
}
