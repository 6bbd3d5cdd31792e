/** What a person reads while signing in: short, and ready to copy. */
import type { Identity, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import type { ReverseSignIn, WaitingPasskey, WaitingSignIn } from '../session/session.ts'
import { clockTime, spanOf } from './commands/spans.ts'
import { plain } from './screen/text.ts'

export function signInBanner(
  waiting: Pick<WaitingSignIn, 'url' | 'code' | 'expiresAt'>,
  name: Username,
  now: Moment,
): string {
  return [
    '',
    `Sign in to Sallyport as ${name}:`,
    '',
    `    ${plain(waiting.url)}`,
    '',
    `and type this code there: ${plain(waiting.code, 32)}`,
    '',
    `Waiting for you, ${spanOf(waiting.expiresAt - now)} at most.`,
    '',
    '',
  ].join('\n')
}

/** For somebody who is signed in, under a role that asks for a passkey. */
export function passkeyBanner(waiting: Pick<WaitingPasskey, 'url' | 'code' | 'expiresAt'>, now: Moment): string {
  return [
    `Open ${plain(waiting.url)}`,
    `type this code there: ${plain(waiting.code, 32)}, and use your passkey.`,
    `Waiting for you, ${spanOf(waiting.expiresAt - now)} at most.`,
    '',
  ].join('\n')
}

/** `until` is when this key will be asked for again. */
export function signedInBanner(identity: Identity, now: Moment, until: Moment | undefined): string {
  const end = until === undefined ? '' : ` until ${clockTime(until, now)}`
  return `Signed in as ${identity.username}${end}.\n\n`
}

export const reverseText = (reverse: Pick<ReverseSignIn, 'url'>, name: Username): string =>
  `Sign in as ${name}, and come back with the code that the page shows:\n\n    ${plain(reverse.url)}\n`
