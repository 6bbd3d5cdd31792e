/** replay and watch: looking at what a session was, and at what it is just now. Each look is an audit event. */
import type { AuditEvent } from '../../model/event.ts'
import { play } from '../screen/player.ts'
import { PlainOutput } from '../screen/safe-output.ts'
import { plain } from '../screen/text.ts'
import { type Arguments, type Command, type Context, WrongUsage } from './command.ts'
import { type Found, sessionNamed } from './sessions.ts'
import { clockTime } from './spans.ts'

export const replay: Command = {
  name: 'replay',
  usage: 'SESSION [--speed 2] [--idle 2s] [--cast | --har]',
  summary: 'play a recording: q quits, space pauses, → skips ten seconds',
  example: '-t replay 0198c0de --speed 2',
  details:
    '--speed  2 is twice as fast\n--idle   pauses are cut to this (2s when left out)\n--cast   write the recording as asciicast v3, for any player\n--har    write the requests of a web session as an HTTP Archive, for any browser\nWithout a terminal the plain text of the output is printed.',
  options: { speed: 'text', idle: 'text', cast: 'flag', har: 'flag' },
  words: [1, 1],
  async run(context, given) {
    const { console, library } = context
    const speed = speedOf(given)
    const idleMs = (given.minutes('idle') ?? 2 / 60) * 60_000
    const session = await sessionNamed(context, given.word(0))
    if (given.flag('har')) return exported(context, session, (signal) => library.har(session.id, { signal }))
    if (given.flag('cast')) return exported(context, session, (signal) => library.asciicast(session.id, { signal }))
    note(context, 'session.replayed', session)
    if (console.hasTerminal) await console.note(`${heading(context, session)} q quits, space pauses, → skips.\n\n`)
    const how = await play(console, session, (signal) => library.events(session.id, { signal }), { speed, idleMs })
    if (console.hasTerminal) await console.note(`\n-- ${how === 'quit' ? 'you left the replay' : ending(session)}\n`)
    return 0
  },
}

export const watch: Command = {
  name: 'watch',
  usage: 'SESSION',
  summary: 'look over the shoulder of a live session: q leaves, the session goes on',
  example: '-t watch 0198c0de',
  options: {},
  words: [1, 1],
  async run(context, given) {
    const { console, library } = context
    const session = await sessionNamed(context, given.word(0))
    note(context, 'session.watched', session)
    if (console.hasTerminal) await console.note(`${heading(context, session)} q leaves.\n\n`)
    const how = await play(
      console,
      session,
      (signal) => library.events(session.id, { follow: true, signal }),
      // What lies behind is shown at once; what comes has its own pace.
      { speed: 1, idleMs: 0 },
    )
    if (console.hasTerminal)
      await console.note(`\n-- ${how === 'quit' ? 'you left; the session goes on' : 'the session is over'}\n`)
    return 0
  },
}

async function exported(
  context: Context,
  session: Found,
  read: (signal: AbortSignal) => AsyncIterable<string>,
): Promise<number> {
  note(context, 'session.exported', session)
  const clean = new PlainOutput()
  for await (const line of read(context.console.closed))
    await context.console.print(context.console.hasTerminal ? clean.push(Buffer.from(line)) : line)
  return 0
}

function speedOf(given: Arguments): number {
  const text = given.text('speed')
  if (text === undefined) return 1
  const speed = Number(text)
  if (!/^\d{1,4}(\.\d{1,3})?$/.test(text) || speed < 0.1)
    throw new WrongUsage(`--speed takes a number like 2 or 0.5, not ${plain(text, 40)}.`)
  return speed
}

function heading(context: Context, session: Found): string {
  const { terminal } = session
  const size = terminal === undefined ? '' : `, ${terminal.columns}x${terminal.rows}`
  const began = clockTime(session.startedAt, context.clock.now())
  return plain(`${session.username} on ${session.target} as ${session.role}, ${session.channel}, ${began}${size}.`)
}

function ending(session: Found): string {
  const end = 'end' in session ? session.end : undefined
  if (end === undefined) return 'as far as it is recorded'
  const code = end.exitCode === undefined ? '' : ` with ${end.exitCode}`
  return plain(`${end.cause}${code}${end.detail === '' ? '' : `: ${end.detail}`}`)
}

function note(context: Context, kind: AuditEvent['kind'], session: Found): void {
  const { audit, clock, identity } = context
  audit({
    id: crypto.randomUUID(),
    at: clock.now(),
    kind,
    actor: identity.username,
    grant: session.grant,
    session: session.id,
    target: session.target,
    text: `${identity.username} ${kind.slice('session.'.length)} a session of ${session.username}.`,
    details: { by: 'ssh' },
  })
}
