/** requests: what waits for a decision, in a list; with its number all of one, for whoever decides and for whoever looks at it later. */
import type { Grant } from '../../model/grant.ts'
import type { Moment } from '../../model/moment.ts'
import { allowsOf, approversOf, termsOf } from '../../model/role-words.ts'
import { readOnly } from '../../model/role.ts'
import type { SessionRow } from '../../session/session.ts'
import { together } from '../screen/table.ts'
import { plain, wrapped } from '../screen/text.ts'
import { type Command, type Context, printJson, typed } from './command.ts'
import { heldLine, heldText } from './held.ts'
import { grantJson, isoTime } from './json.ts'
import { nothing, roleOf, show, standing, whyOf } from './listings.ts'
import { clockTime, spanOf } from './spans.ts'
import { whyNot, wishOf } from './waiting.ts'

export const requests: Command = {
  name: 'requests',
  usage: '[NUMBER] [--json]',
  summary: 'requests that wait: your own, and those you may decide; with its number, all of one',
  example: 'requests 17',
  details:
    'With a number: who asks for what, what the role allows in plain words, why, the approvals so far, the last sessions\nof that person there, and the lines that allow or deny it. It need not wait any more.',
  options: { json: 'flag' },
  words: [0, 1],
  async run(context, given) {
    const waiting = await context.desk.requests(context.identity)
    if (given.words.length > 0) {
      const id = given.grantId(0)
      const grant = await context.desk.grant(context.identity, id)
      const mayApprove = waiting.some((one) => one.grant.id === id && one.mayApprove)
      return given.flag('json') ? oneJson(context, grant, mayApprove) : oneText(context, grant, mayApprove)
    }
    if (given.flag('json'))
      return printJson(
        context,
        waiting.map(({ grant, mayApprove }) => ({ ...grantJson(grant), mayApprove })),
      )
    if (waiting.length === 0) return nothing(context, 'No request is waiting.')
    const now = context.clock.now()
    const rows = waiting.map(({ grant, mayApprove }) => [
      grant.id,
      grant.username,
      roleOf(grant),
      grant.target,
      grant.held === undefined ? spanOf(grant.minutes * 60_000) : 'once',
      together(`${spanOf(now - grant.requestedAt)} ago`),
      `${grant.approvals.length}/${grant.approvalsNeeded}`,
      mayApprove ? 'you decide' : grant.username === context.identity.username ? 'yours' : '-',
      grant.held === undefined ? whyOf(grant) : heldLine(grant.held),
    ])
    await show(context, ['NO', 'WHO', 'ROLE', 'TARGET', 'FOR', 'ASKED', 'YES', '', 'REASON'], rows)
    const first = waiting.find(({ mayApprove }) => mayApprove)
    if (first !== undefined && context.console.hasTerminal)
      await context.console.note(
        `\nAll of it: ${typed(context, `requests ${first.grant.id}`)}\nTo allow:  ${typed(context, `approve ${first.grant.id}`)}\n`,
      )
    return 0
  },
}

/** What the same person did there before: enough to decide, not what was done. */
const MOST_PAST = 5

/** Undefined where the recordings cannot be read just now: who decides need not wait for them. */
async function pastOf({ library }: Context, grant: Grant): Promise<readonly SessionRow[] | undefined> {
  const { subject, target, username, requestedAt } = grant
  const rows = await library.sessions({ username, target, until: requestedAt, limit: MOST_PAST }).catch(() => undefined)
  // A user name can be given to somebody else; what that person did is not this one's past.
  return rows?.filter((row) => row.subject === subject)
}

function pastLines(rows: readonly SessionRow[] | undefined, grant: Grant, now: Moment): readonly string[] {
  if (rows === undefined) return ['the recordings cannot be read just now']
  return rows.length === 0 ? [`nothing by ${grant.username} on ${grant.target}`] : rows.map((row) => pastLine(row, now))
}

/** The role as this grant has it, in the sentences of `explain-role`. */
function wordsOf(
  context: Context,
  grant: Grant,
): { readonly allows: readonly string[]; readonly terms: readonly string[] } {
  const known = context.role(grant.role)
  if (known === undefined) return { allows: ['The configuration has this role no more.'], terms: [] }
  const role = grant.readOnly === true ? readOnly(known) : known
  return {
    allows: grant.endpoints.flatMap((endpoint) => allowsOf(role, endpoint).map((line) => `${endpoint}: ${line}`)),
    terms: termsOf(role),
  }
}

async function oneJson(context: Context, grant: Grant, mayApprove: boolean): Promise<number> {
  const { allows, terms } = wordsOf(context, grant)
  const past = (await pastOf(context, grant))?.map(
    ({ id, role, protocol, channel, startedAt, end, statements, denials }) => ({
      id,
      role,
      protocol,
      channel,
      startedAt: isoTime(startedAt),
      endedAt: isoTime(end?.endedAt),
      statements,
      denials,
    }),
  )
  return printJson(context, [{ ...grantJson(grant), mayApprove, allows, terms, past: past ?? null }])
}

const LABEL = 11

async function oneText(context: Context, grant: Grant, mayApprove: boolean): Promise<number> {
  const { console, clock } = context
  const columns = console.width - LABEL
  const fact = (name: string, lines: readonly string[]): string =>
    lines
      .flatMap((line) => wrapped(plain(line), columns))
      .map((line, at) => `${(at === 0 ? name : '').padEnd(LABEL)}${line}\n`)
      .join('')
  const { held } = grant
  await console.print(
    held === undefined
      ? `${plain(`Request ${grant.id}: ${grant.username} asks for ${wishOf(grant)}`)}\n`
      : heldText(grant, held),
  )
  const now = clock.now()
  const { amr, authTime } = grant.proof
  const words = held === undefined ? wordsOf(context, grant) : undefined
  const role = context.role(grant.role)
  await console.print(
    [
      held === undefined ? fact('why', [grant.reason]) : '',
      grant.ticket === undefined ? '' : fact('ticket', [grant.ticket]),
      fact('asked', [`${clockTime(grant.requestedAt, now)}, ${spanOf(now - grant.requestedAt)} ago`]),
      fact('signed in', [
        `${clockTime(authTime, now)}${amr.length === 0 ? '' : ` with ${amr.join(', ')}`}, when this was asked`,
      ]),
      words === undefined || role === undefined ? '' : fact('role', [`${roleOf(grant)}: ${role.description}`]),
      words === undefined ? '' : fact('allows', words.allows) + fact('terms', words.terms),
      fact('approvals', approvalLines(context, grant)),
      fact('before', pastLines(await pastOf(context, grant), grant, now)),
      fact('now', [stateOf(context, grant)]),
    ].join(''),
  )
  if (mayApprove) await console.print(linesToDecide(context, grant))
  return 0
}

function approvalLines(context: Context, { approvals, approvalsNeeded, held, role }: Grant): readonly string[] {
  if (approvalsNeeded === 0) return ['none needed: the rule of the role']
  const known = context.role(role)
  const hold = known?.hold
  const people =
    held === undefined
      ? known && approversOf(known)
      : hold && approversOf({ approval: { kind: 'people', count: hold.people, groups: hold.approvers } })
  const now = context.clock.now()
  return [
    `${approvals.length} of ${approvalsNeeded}${people === undefined ? '' : `, by ${people}`}`,
    ...approvals.map(({ at, by }) => `${by}, ${clockTime(at, now)}`),
  ]
}

function pastLine({ channel, denials, end, protocol, role, startedAt, statements }: SessionRow, now: Moment): string {
  const lasted = end === undefined ? 'still open' : spanOf(end.endedAt - startedAt)
  return [
    `${clockTime(startedAt, now)}: ${role}`,
    `${protocol} ${channel}`,
    lasted,
    ...(statements === 0 ? [] : [statements === 1 ? '1 statement' : `${statements} statements`]),
    ...(denials === 0 ? [] : [`${denials} refused`]),
  ].join(', ')
}

function stateOf(context: Context, grant: Grant): string {
  if (grant.state === 'ended') return whyNot(grant)
  if (grant.state === 'live') return `live ${standing(context, grant)}`
  return grant.state === 'approved' ? 'approved' : 'waits'
}

function linesToDecide(context: Context, { extends: longer, held, id }: Grant): string {
  const less =
    held !== undefined
      ? ''
      : longer === undefined
        ? '   (or less: --for 10m, --endpoints ssh, --read-only)'
        : '   (or less: --for 10m)'
  return `\nAllow it: ${typed(context, `approve ${id}`)}${less}\nDeny it:  ${typed(context, `deny ${id} --reason "why"`)}\n`
}
