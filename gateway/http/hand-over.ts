/** How a browser that is signed in at the portal becomes known on a target's own host name: a one-time code, good only in the browser that asked. */
import { createHash, randomBytes } from 'node:crypto'
import type { Refusal } from '../model/refusal.ts'
import { PasskeyMissing } from '../session/session.ts'
import type { Asked } from './asked.ts'
import type { Answer } from './call.ts'
import { cookieOf, ENTER_COOKIE, enterCookie, WEB_COOKIE, webCookie } from './cookies.ts'
import { HttpRefusal } from './deny.ts'
import type { HttpParts } from './parts.ts'
import type { Place } from './place.ts'

/** Everything below it on a target's name is the gateway's. */
export const OWN_PREFIX = '/.sallyport/'
export const ENTER_PATH = `${OWN_PREFIX}enter`
export const SIGN_OUT_PATH = `${OWN_PREFIX}sign-out`
/** Encoded; what signs in keeps no longer way back. */
const LONGEST_RETURN = 1200

export type HandOver = {
  /** The portal's address that hands this browser over. */
  readonly location: string
  /** To be set here before the browser goes there: whoever comes back with a code must have it. */
  readonly cookie: string
}

/**
 * `why` says what the portal is asked for. Several tabs may be on their way at once, so a nonce that is there is used again, and
 * stays until it is too old.
 */
export function beginHandOver(
  asked: Asked,
  place: Place,
  settings: HttpParts['settings'],
  { returnTo, why }: { readonly returnTo: string; readonly why: Refusal },
): HandOver {
  const nonce = nonceOf(asked) ?? randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    target: place.target,
    returnTo: encodeURIComponent(returnTo).length > LONGEST_RETURN ? '/' : returnTo,
    state: createHash('sha256').update(nonce).digest('base64url'),
    ...(why instanceof PasskeyMissing ? { grant: why.grant } : {}),
  })
  const path = why instanceof PasskeyMissing ? settings.portalPaths.touch : settings.portalPaths.handOver
  return {
    location: `${settings.publicUrl}${path}?${query.toString()}`,
    cookie: enterCookie(nonce),
  }
}

/** Back from the portal. @throws {HttpRefusal} when the code is used up, too old, or another browser's. */
export async function finishHandOver(
  asked: Asked,
  place: Place,
  sessions: HttpParts['sessions'],
  answer: Answer,
): Promise<void> {
  const code = new URLSearchParams(asked.query).get('code') ?? ''
  const nonce = nonceOf(asked)
  const entered =
    nonce === undefined || !isSecret(code) ? undefined : await sessions.redeem({ code, target: place.target, nonce })
  if (entered === undefined)
    throw new HttpRefusal(
      403,
      'NOT_SIGNED_IN',
      'This way in was used before, is too old, or began in another browser.',
      {
        next: 'Open the application again.',
      },
    )
  answer.say(
    302,
    [
      ['location', ownPath(entered.returnTo)],
      ['set-cookie', webCookie(entered.cookie)],
      ['cache-control', 'no-store'],
      ['referrer-policy', 'no-referrer'],
      ['content-length', '0'],
    ],
    '',
  )
}

const isSecret = (text: string): boolean => /^[A-Za-z0-9_-]{43}$/.test(text)

function nonceOf({ ownCookies }: Asked): string | undefined {
  const nonce = cookieOf(ownCookies, ENTER_COOKIE)
  return nonce !== undefined && isSecret(nonce) ? nonce : undefined
}

/** The secret of a browser on this target. */
export function webSecretOf({ ownCookies }: Asked): string | undefined {
  const secret = cookieOf(ownCookies, WEB_COOKIE)
  return secret !== undefined && isSecret(secret) ? secret : undefined
}

/** A path on this very host, whatever a browser may read into it. */
const ownPath = (path: string): string => (/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(path) ? path : '/')
