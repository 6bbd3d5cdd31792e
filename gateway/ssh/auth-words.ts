/** What a person reads while signing in: short, and ready to copy. */
import type { Identity, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import type { ReverseSignIn, WaitingSignIn } from '../session/session.ts'
import { spanOf } from './commands/spans.ts'
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

export const signedInBanner = (identity: Identity): string => `Signed in as ${identity.username}.\n\n`

export const reverseText = (reverse: Pick<ReverseSignIn, 'url'>, name: Username): string =>
  `Sign in as ${name}, and come back with the code that the page shows:\n\n    ${plain(reverse.url)}\n`
