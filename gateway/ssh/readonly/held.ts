/** A command line of a read-only shell that a second person has to let through: the wait, and the number under which it may run. */
import { hash } from 'node:crypto'
import { Refusal } from '../../model/refusal.ts'
import { ALLOW, type Verdict } from '../../model/statement.ts'
import type { Permit, Session } from '../../session/session.ts'
import type { Face } from './face.ts'
import type { HeldLine } from './judge.ts'
import { stated } from './stated.ts'

export type Let = { readonly n: number; readonly permit: Permit }

type Asked = {
  readonly session: Session
  readonly face: Face
  readonly line: string
  readonly verdict: Verdict
  readonly held: HeldLine
  /** Where it would run; undefined: where a login starts. */
  readonly directory: string | undefined
  /** Judged anew after the wait: what would wait still. */
  readonly again: () => HeldLine | undefined
}

/** Undefined after the person was told why not. @throws the reason when the session ends instead. */
export async function letThrough(asked: Asked): Promise<Let | undefined> {
  const { again, directory, face, held, line, session, verdict } = asked
  let first = 0
  await stated(session, line, verdict, async (_sentence, n) => {
    first = n
  })
  const since = performance.now()
  const left = (error: string) =>
    session.road.outcome({ n: first, result: 'not-sent', ms: Math.round(performance.now() - since), error })
  try {
    const permit = await waited(asked)
    if (again()?.text !== held.text) throw new Refusal('NOT_ALLOWED', 'Meanwhile this command is judged otherwise.')
    await face.tell(`Request ${permit.request} was approved by ${permit.by.join(', ')}: it runs now.\n`)
    const record = { approved: { request: permit.request, by: permit.by } }
    const n = await stated(session, inPlace(held, directory), ALLOW, async () => undefined, record)
    if (n === undefined) return undefined
    left(`let through as statement ${n} (request ${permit.request})`)
    return { n, permit }
  } catch (failure) {
    if (session.ended.aborted || !(failure instanceof Refusal)) throw failure
    left(failure.message)
    await face.tell(`${failure.message}\n`)
    return undefined
  }
}

async function waited({ directory, face, held, session, verdict }: Asked): Promise<Permit> {
  if (session.hold === undefined)
    throw new Refusal('NOT_ALLOWED', verdict.decision === 'allow' ? 'It does not wait.' : verdict.reason)
  const [over, stop] = [new AbortController(), new AbortController()]
  const heard = face
    .interrupted(over.signal)
    .catch(() => undefined)
    .then(() => stop.abort(new Refusal('CONFLICT', 'You took it back.')))
  let telling: Promise<void> = Promise.resolve()
  try {
    return await session.hold.ask(
      {
        kind: 'command',
        verb: held.argv[0] ?? '',
        text: held.text,
        place: directory ?? '',
        digest: hash('sha256', JSON.stringify([directory ?? null, held.argv]), 'hex'),
      },
      (text) => {
        telling = telling.then(() => face.tell(`${text}\n`)).catch(() => undefined)
      },
      stop.signal,
    )
  } finally {
    over.abort()
    await heard
    await telling
  }
}

const inPlace = ({ text }: HeldLine, directory: string | undefined): string =>
  directory === undefined ? text : `${text}  # in ${directory}`
