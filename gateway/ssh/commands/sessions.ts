/** sessions: the list of recordings, and finding one by the beginning of its id. */
import type { SessionStart } from '../../model/event.ts'
import type { Moment } from '../../model/moment.ts'
import { Refusal } from '../../model/refusal.ts'
import type { SessionRow } from '../../session/session.ts'
import { table, together } from '../screen/table.ts'
import { plain } from '../screen/text.ts'
import { type Arguments, type Command, type Context, printJson, WrongUsage } from './command.ts'
import { sessionJson } from './json.ts'
import { clockTime, sinceOf, spanOf } from './spans.ts'

export type Found = SessionStart | SessionRow

/** How far back an abbreviated id is looked for. */
const MOST = 1000
const LISTED = 200

export const sessions: Command = {
  name: 'sessions',
  usage: '[--person P] [--target T] [--since 2h] [--live] [--json]',
  summary: 'recorded sessions: your own; auditors see all',
  example: 'sessions --target prod-db --since 2h',
  options: { person: 'text', target: 'text', since: 'text', live: 'flag', json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const person = personOf(context, given)
    const found = await known(context, {
      person,
      target: given.text('target'),
      since: since(context, given),
      live: given.flag('live'),
      limit: LISTED,
    })
    if (given.flag('json')) return printJson(context, found.map(sessionJson))
    if (found.length === 0) {
      await context.console.note('No session.\n')
      return 0
    }
    const ids = shortIds(found.map(({ id }) => id))
    const now = context.clock.now()
    const rows = found.map((session, at) => [
      ids[at] ?? session.id,
      session.username,
      session.target,
      session.role,
      `${session.protocol} ${session.channel}`,
      clockTime(session.startedAt, now),
      lasted(session, now),
      session.command === '' || session.protocol === 'postgres' ? session.reason : session.command,
    ])
    const heading = ['SESSION', 'WHO', 'TARGET', 'ROLE', 'WHAT', 'BEGAN', 'LASTED', 'COMMAND OR REASON']
    await context.console.print(table(heading, rows, context.console.columns))
    if (found.length === LISTED)
      await context.console.note(`These are the newest ${LISTED}; --person, --target and --since find others.\n`)
    return 0
  },
}

/** Whose sessions: a person who may not see everybody's sees their own. */
function personOf({ desk, identity }: Context, given: Arguments): string | undefined {
  const person = given.text('person')
  if (desk.isAuditor(identity) || desk.isAdmin(identity)) return person
  if (person !== undefined && person !== identity.username)
    throw new Refusal('NOT_ALLOWED', 'Only auditors see the sessions of other people.', {
      next: 'Leave --person out to see your own.',
    })
  return identity.username
}

function since({ clock }: Context, given: Arguments): Moment | undefined {
  const text = given.text('since')
  if (text === undefined) return undefined
  const at = sinceOf(text, clock.now())
  if (at === undefined)
    throw new WrongUsage(`--since takes a span like 2h or a date like 2026-11-20, not ${plain(text, 40)}.`)
  return at
}

type Search = {
  readonly person: string | undefined
  readonly target?: string | undefined
  readonly since?: Moment | undefined
  readonly live?: boolean
  readonly limit: number
}

/** What the store knows, and what runs right now and may not have arrived there. Newest first. */
async function known(context: Context, search: Search): Promise<readonly Found[]> {
  const { person, target, since, live = false, limit } = search
  const running = (await context.desk.liveSessions(context.identity)).filter(
    (session) =>
      (person === undefined || session.username === person) &&
      (target === undefined || session.target === target) &&
      (since === undefined || session.startedAt >= since),
  )
  const stored = await context.library.sessions({ username: person, target, since, limit })
  const ids = new Set(running.map(({ id }) => id))
  const rows = new Map(stored.map((row) => [row.id, row]))
  const alive = running.map((session) => rows.get(session.id) ?? session)
  const rest = live ? [] : stored.filter(({ id }) => !ids.has(id))
  return [...alive, ...rest]
    .filter((session) => maySee(context, session))
    .toSorted((a, b) => b.startedAt - a.startedAt)
    .slice(0, limit)
}

/** One's own sessions are those of the subject: a user name can be given to somebody else. */
function maySee({ desk, identity }: Context, { subject, username }: Found): boolean {
  const isNamesake = username === identity.username && subject !== identity.subject
  return desk.maySeeSession(identity, username) && (desk.isAuditor(identity) || desk.isAdmin(identity) || !isNamesake)
}

/** @throws {Refusal} NOT_FOUND, also for a session that this person may not see. */
export async function sessionNamed(context: Context, text: string): Promise<Found> {
  const wanted = text.toLowerCase()
  if (!/^[0-9a-f][0-9a-f-]{3,35}$/.test(wanted))
    throw new WrongUsage(`${plain(text, 40)} is not the id of a session, nor four or more characters of its beginning.`)
  const { desk, identity } = context
  const sees = desk.isAuditor(identity) || desk.isAdmin(identity)
  const found = await known(context, { person: sees ? undefined : identity.username, limit: MOST })
  const matching = found.filter(({ id }) => id.startsWith(wanted))
  if (matching.length > 1)
    throw new WrongUsage(`${wanted} is the beginning of ${matching.length} sessions; type more of the id.`)
  const [only] = matching
  if (only !== undefined) return only
  const older = wanted.length === 36 ? await context.library.session(wanted as SessionStart['id']) : undefined
  if (older !== undefined && maySee(context, older)) return older
  throw new Refusal('NOT_FOUND', `There is no session ${wanted} that you may see.`, {
    next: 'Type `sessions` to see which there are.',
  })
}

/** The shortest beginnings that tell these ids apart. The first 13 characters are the millisecond, so that they most likely stand alone elsewhere, too. */
export function shortIds(ids: readonly string[]): readonly string[] {
  for (let length = 13; length < 36; length += 1) {
    const cut = ids.map((id) => id.slice(0, length))
    if (!cut.some((id) => id.endsWith('-')) && new Set(cut).size === ids.length) return cut
  }
  return ids
}

function lasted(session: Found, now: Moment): string {
  const { end, alerts = 0 } = 'end' in session ? session : { end: undefined }
  const span = spanOf((end?.endedAt ?? now) - session.startedAt)
  const rang = alerts === 0 ? [] : [alerts === 1 ? '1 alert' : `${alerts} alerts`]
  const state = end === undefined ? ['live'] : end.cause === 'cut' ? ['cut'] : []
  return [together([span, ...state].join(', ')), ...rang.map(together)].join(', ')
}
