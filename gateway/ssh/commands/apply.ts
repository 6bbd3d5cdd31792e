/** changes, apply, discard: deciding about changes of an overlay that were kept. What is applied is what was shown. */
import type { SessionId } from '../../model/event.ts'
import { Refusal } from '../../model/refusal.ts'
import { countWords, type KeptDesk, type KeptLayer, type KeptRow } from '../kept-changes.ts'
import { askLine } from '../screen/prompt.ts'
import { table, together } from '../screen/table.ts'
import { plain } from '../screen/text.ts'
import { type Arguments, type Command, type Context, printJson, WrongUsage } from './command.ts'
import { isoTime } from './json.ts'
import { spanOf } from './spans.ts'

export const changes: Command = {
  name: 'changes',
  usage: '[--json]',
  example: 'changes',
  summary: 'what was changed in overlays and waits for you, or of yours for others',
  options: { json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const { console } = context
    const { rows, silent } = await deskOf(context).list(context.identity)
    const away = silent.map((agent) => plain(agent, 64)).join(', ')
    const missing = away === '' ? '' : `Not asked, because they do not answer: ${away}.\n`
    if (given.flag('json')) {
      await console.note(missing)
      return printJson(context, rows.map(rowJson))
    }
    if (rows.length === 0) {
      await console.note(`No changes of overlays wait for you.\n${missing}`)
      return 0
    }
    const now = context.clock.now()
    const cells = rows.map(({ approvers, bytes, changes: count, expiresAt, isMine, session }) => [
      session.id,
      session.target,
      session.username,
      session.role,
      String(count),
      together(bytes < 1024 ? `${bytes} B` : `${Math.ceil(bytes / 1024)} kB`),
      spanOf(Math.max(1000, expiresAt - now)),
      isMine ? approvers.join(', ') : 'you',
    ])
    const heading = ['SESSION', 'TARGET', 'WHO', 'ROLE', 'CHANGES', 'SIZE', 'LEFT', 'DECIDES']
    await console.print(table(heading, cells, console.columns))
    const decides = rows.some(({ isMine }) => !isMine)
      ? '`apply SESSION` shows what you may decide about, with its differences.\n'
      : ''
    const waits = rows.some(({ isMine }) => isMine)
      ? 'Your own wait for somebody of the groups under DECIDES. When LEFT is over, they are thrown away.\n'
      : ''
    await console.note(`${missing}${decides}${waits}`)
    return 0
  },
}

const rowJson = ({ expiresAt, session, ...row }: KeptRow) => ({
  session: session.id,
  target: session.target,
  username: session.username,
  role: session.role,
  reason: session.reason,
  ...row,
  expiresAt: isoTime(expiresAt),
})

function deskOf({ kept }: Context): KeptDesk {
  if (kept === undefined) throw new Refusal('NOT_FOUND', 'This gateway takes no agents.')
  return kept
}

/** @throws {WrongUsage} */
function sessionOf(given: Arguments): SessionId {
  const id = given.word(0)
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new WrongUsage(`${plain(id, 40)} is not the whole id of a session.`)
  return id as SessionId
}

export const apply: Command = {
  name: 'apply',
  usage: 'SESSION [--digest D] [--json]',
  summary: 'bring what somebody else changed in an overlay to its host',
  example: '-t apply 0198c0de-0000-7000-8000-000000000000',
  details:
    'Shows the changes with their differences, and asks. Without a terminal it only shows them, and their digest; with that digest it applies exactly these.\nNothing is applied when any of the files was changed since.',
  options: { digest: 'text', json: 'flag' },
  words: [1, 1],
  async run(context, given) {
    const { console } = context
    const desk = deskOf(context)
    const layer = await desk.show(context.identity, sessionOf(given))
    const digest = given.text('digest')
    if (digest !== undefined && digest !== layer.digest)
      throw new Refusal('NOT_ALLOWED', 'The changes that are kept are not those of that digest.')
    if (digest === undefined) {
      if (given.flag('json')) return printJson(context, { digest: layer.digest, changes: layer.changes })
      await console.print(textOf(layer))
      if (!console.hasTerminal) {
        await console.note(
          `Nothing is applied yet. To apply exactly this: apply ${layer.session.id} --digest ${layer.digest}\n`,
        )
        return 0
      }
      const said = await askLine(console, 'Type yes to apply this:', undefined)
      if (said !== 'yes') {
        await console.note('Nothing was applied.\n')
        return 1
      }
    }
    const count = await desk.apply(context.identity, layer.session.id, layer.digest)
    if (given.flag('json')) return printJson(context, { applied: count, digest: layer.digest })
    await console.print(`Applied on ${layer.session.target}: ${countWords(count)}.\n`)
    return 0
  },
}

export const discard: Command = {
  name: 'discard',
  usage: 'SESSION',
  summary: 'throw away what somebody else changed in an overlay',
  example: 'discard 0198c0de-0000-7000-8000-000000000000',
  options: {},
  words: [1, 1],
  async run(context, given) {
    await deskOf(context).discard(context.identity, sessionOf(given))
    await context.console.print('Thrown away.\n')
    return 0
  },
}

function textOf({ changes, digest, session }: KeptLayer): string {
  const lines = changes.flatMap(({ detail, diff, operation, path, to }) => [
    `${operation} ${plain(path)}${to === undefined ? '' : ` -> ${plain(to)}`}  (${plain(detail ?? '', 200)})`,
    ...(diff?.trimEnd().split('\n') ?? []).map((line) => `   ${plain(line, Number.POSITIVE_INFINITY)}`),
  ])
  return [
    `Changes of ${plain(session.username, 64)} in an overlay on ${plain(session.target, 64)} (role ${plain(session.role, 64)}: ${plain(session.reason, 200)}):`,
    ...lines,
    `sha256 ${digest}`,
    '',
  ].join('\n')
}
