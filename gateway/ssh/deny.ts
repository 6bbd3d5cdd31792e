/** Refusals in the words of ssh: a sentence on the terminal, and an exit code. */
import type { Audit } from '../model/event.ts'
import type { Identity } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import { Fault, MalformedMessage, Refusal, TURNED_AWAY, type RefusalCode } from '../model/refusal.ts'
import { plain } from './screen/text.ts'

/** Exit codes of our own command line (sysexits.h for the last). */
export const DONE = 0
const REFUSED = 1
export const WRONG_USAGE = 2
export const TRY_LATER = 75
/** What ssh itself uses when it could not do its work. */
export const BROKEN = 255

const exitCodes: Partial<Record<RefusalCode, number>> = {
  BAD_INPUT: WRONG_USAGE,
  TOO_MANY: TRY_LATER,
  TARGET_UNREACHABLE: TRY_LATER,
  NOT_RECORDED: TRY_LATER,
  UNAVAILABLE: TRY_LATER,
}

export type Denial = { readonly sentence: string; readonly next: string | undefined; readonly exitCode: number }

/** Anything that was thrown, as a sentence for the person. What is no Refusal is logged under the number that the person sees. */
export function denial(failure: unknown, log: Log): Denial {
  if (failure instanceof Refusal)
    return {
      sentence: plain(failure.message),
      next: failure.next === undefined ? undefined : plain(failure.next),
      exitCode: exitCodes[failure.code] ?? REFUSED,
    }
  if (failure instanceof MalformedMessage)
    return {
      sentence: `Your client sent something that cannot be read: ${plain(failure.message)}`,
      next: undefined,
      exitCode: BROKEN,
    }
  const fault = failure instanceof Fault ? failure : new Fault('Unexpected failure.', { cause: failure })
  log({
    level: 'error',
    room: 'ssh',
    message: 'Something broke while a person was waiting.',
    details: { reference: fault.reference },
    error: fault.cause ?? fault,
  })
  return {
    sentence: `Something broke on our side. The reference for your administrator is ${fault.reference}.`,
    next: 'Try again in a moment.',
    exitCode: TRY_LATER,
  }
}

export const isRefused = (failure: unknown): boolean => failure instanceof Refusal && TURNED_AWAY.has(failure.code)

/** Belongs into the audit log. */
export function noteRefused(
  notes: { readonly audit: Audit; readonly clock: Clock },
  person: { readonly identity: Identity },
  target: string,
  failure: unknown,
): void {
  if (!(failure instanceof Refusal) || !TURNED_AWAY.has(failure.code)) return
  notes.audit({
    id: crypto.randomUUID(),
    at: notes.clock.now(),
    kind: 'session.refused',
    actor: person.identity.username,
    grant: undefined,
    session: undefined,
    target: plain(target, 64),
    text: plain(failure.message),
    details: { protocol: 'ssh', code: failure.code, subject: person.identity.subject },
  })
}

/** One or two lines, each ending in a newline. */
export const denialText = (denied: Denial): string =>
  denied.next === undefined ? `${denied.sentence}\n` : `${denied.sentence}\n${denied.next}\n`
