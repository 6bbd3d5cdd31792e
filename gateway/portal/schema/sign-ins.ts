/** The words of the API about sign-ins of ssh and psql that wait for a browser. */
import { z } from 'zod'
import { passkeyAnswer } from './passkeys.ts'
import { count, time } from './wire.ts'

export const signInQuestion = z.strictObject({
  id: z.string(),
  kind: z.enum(['ssh', 'postgres']),
  /** `type`: the person types the code that the terminal shows. `show`: this page shows it, the person types it into the terminal. */
  direction: z.enum(['type', 'show']),
  username: z.string(),
  sourceAddress: z.string(),
  /** Of this browser, for comparison. */
  browserAddress: z.string(),
  clientVersion: z.string(),
  keyFingerprint: z.string().nullable(),
  target: z.string().nullable(),
  askedAt: time,
  expiresAt: time,
  /** Whether this browser is where the terminal is. */
  sameAddress: z.boolean(),
  /** This browser's sign-in is too old to approve: go to `/sign-in?returnTo=<this page>` first. */
  signInAgain: z.boolean(),
  /** `answer` must carry a passkey's answer, too: ask `…/passkey` for the options first. */
  passkey: z.boolean(),
  /** How many connections this one approval lets in. */
  connections: count,
})
export const answerBody = z.strictObject({
  code: z.string().trim().min(1).max(32),
  passkey: passkeyAnswer.optional(),
})
export const answerResult = z.strictObject({
  result: z.enum(['signed-in', 'wrong-code']),
  /** After a wrong code; null when it was right. */
  triesLeft: count.nullable(),
})
export const revealed = z.strictObject({ code: z.string(), expiresAt: time })

export type SignInQuestionView = z.infer<typeof signInQuestion>
export type AnswerResult = z.infer<typeof answerResult>
export type Revealed = z.infer<typeof revealed>
