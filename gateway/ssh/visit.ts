/** An ssh channel on its way to a target: the grant, or a way to one inside the same terminal, and refusals in its words. */
import type { PasskeyProof } from '../model/passkey.ts'
import { Refusal } from '../model/refusal.ts'
import { roleIn, type TargetName } from '../model/target-name.ts'
import { type Admission, admit, type GrantNotice } from '../session/session.ts'
import { type Person, stillSignedIn } from './auth.ts'
import { passkeyBanner, signInBanner } from './auth-words.ts'
import { askForAccess, noGrant } from './commands/ask-access.ts'
import { type Context, typed } from './commands/command.ts'
import { BROKEN, denial, denialText, isRefused, noteRefused, WRONG_USAGE } from './deny.ts'
import type { Connection, SessionChannel, SessionRequest } from './engine/contract.ts'
import type { SshParts } from './parts.ts'
import { wrapped } from './screen/text.ts'
import { atTarget, leftWords } from './target-session.ts'

/** A channel, and who is behind it. */
export type Guest = {
  readonly connection: Connection
  readonly channel: SessionChannel
  readonly person: Person
  /** Aborts when the gateway is about to close; the reason is a sentence. */
  readonly closing: AbortSignal
}

export type Visit = Guest & {
  readonly context: Context
  readonly place: TargetName
  /** What to open there; the channel may have asked for something else. */
  readonly request: SessionRequest
}

/** Ends the channel in every case. Never throws. */
export async function visitTarget(parts: SshParts, visit: Visit): Promise<void> {
  const { channel, context } = visit
  try {
    const admission = await enter(parts, visit)
    await atTarget(
      parts,
      {
        ...visit,
        console: context.console,
        withoutTerminal: `no terminal: use ${typed(context, admission.target.name, ' -t')}\n`,
        speaker: {
          words: (notice) => noticeText(context, notice),
          show: (text) => show(context, text),
        },
      },
      admission,
    )
  } catch (failure) {
    // Nobody is there to read it: what broke is that they left.
    if (channel.closed.aborted) return channel.end(BROKEN)
    const denied = denial(failure, parts.notes.log)
    await context.console.note(denialText(denied))
    noteRefused(parts.notes, visit.person, visit.place.target, failure)
    await channel.end(isRefused(failure) || denied.exitCode === WRONG_USAGE ? denied.exitCode : BROKEN)
  }
}

/** A live grant, or a way to one: a second sign-in where the first is too old, a touch of a passkey, a request where there is a terminal. */
async function enter(parts: SshParts, visit: Visit): Promise<Admission> {
  const { context, person, place } = visit
  const { target } = place
  let { under } = place
  const role = roleIn(under)
  let asked = false
  let signedIn = false
  let passkey: PasskeyProof | undefined
  for (;;) {
    try {
      return await admit(parts.road.admit, { identity: person.identity, target, under, protocol: 'ssh', passkey })
    } catch (failure) {
      const code = failure instanceof Refusal ? failure.code : undefined
      if (code === 'MFA_MISSING' && !signedIn) {
        signedIn = true
        await signInAgain(parts, visit, failure as Refusal)
      } else if (code === 'PASSKEY_MISSING' && passkey === undefined) {
        passkey = await touchPasskey(parts, visit, failure as Refusal)
        // Whoever signed out meanwhile touched it for nothing.
        await stillSignedIn(person)
      } else if (code === 'NO_GRANT' && !asked && context.console.hasTerminal) {
        asked = true
        const grant = await askForAccess({ ...context, identity: person.identity }, { target, under })
        // The one that was named by its number is over, and comes to life no more.
        if (role === undefined) under = { kind: 'grant', grant: grant.id }
        // An approval can be long in coming.
        await stillSignedIn(person)
      } else if (code === 'NO_GRANT') throw await noGrant(context, { target, under })
      else throw failure
    }
  }
}

const questionOf = ({ connection, person, place }: Visit) => ({
  kind: 'ssh' as const,
  username: person.identity.username,
  sourceAddress: connection.origin.address,
  clientVersion: connection.clientVersion,
  keyFingerprint: person.keyFingerprint,
  target: place.target,
})

async function touchPasskey(parts: SshParts, visit: Visit, why: Refusal): Promise<PasskeyProof> {
  const { context, person } = visit
  const waiting = await parts.people.signIns.askPasskey(person.identity, questionOf(visit))
  return answered(context, waiting, why, passkeyBanner(waiting, context.clock.now()))
}

async function signInAgain(parts: SshParts, visit: Visit, why: Refusal): Promise<void> {
  const { context, person } = visit
  const waiting = await parts.people.signIns.ask(questionOf(visit))
  const banner = signInBanner(waiting, person.identity.username, context.clock.now())
  const identity = await answered(context, waiting, why, banner)
  if (identity.subject !== person.identity.subject) throw new Refusal('NOT_SIGNED_IN', 'Somebody else has signed in.')
  person.identity = identity
}

/** What was answered in the browser. In a terminal Ctrl-C leaves; what else is typed meanwhile is for what comes then. */
async function answered<T>(
  { console }: Context,
  waiting: { wait(signal: AbortSignal): Promise<T> },
  why: Refusal,
  banner: string,
): Promise<T> {
  await console.note(`${why.message}\n${banner}`)
  if (!console.hasTerminal) return waiting.wait(console.closed)
  await console.note('Ctrl-C leaves.\n')
  const [over, left] = [new AbortController(), new AbortController()]
  const leave = (isInterrupted: boolean): void => {
    if (isInterrupted) left.abort(new Refusal(why.code, 'Left before it was answered: no session was opened.'))
  }
  // It fails when nobody waits any more.
  console.interrupted(over.signal).then(leave, () => undefined)
  try {
    return await waiting.wait(AbortSignal.any([console.closed, left.signal]))
  } finally {
    over.abort()
  }
}

/** On the first lines of a terminal, so that prompts and editors keep theirs. */
async function show({ console }: Context, text: string): Promise<void> {
  if (console.columns === undefined) await console.note(`${text}\n`)
  else
    await console.raw(
      `\u001b7${wrapped(text, console.columns - 2)
        .map((line, at) => `\u001b[${at + 1};1H\u001b[0;7m ${line} \u001b[0m\u001b[K`)
        .join('')}\u001b8\u0007`,
    )
}

function noticeText(context: Context, notice: GrantNotice): string {
  const words = leftWords(notice, context.clock.now())
  return notice.kind === 'extended'
    ? `[sallyport] ${words}`
    : `[sallyport] ${words} More time: ${typed(context, `extend ${notice.grant.id}`)}`
}
