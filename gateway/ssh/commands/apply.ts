/** apply, discard: deciding about changes of an overlay that were kept. What is applied is what was shown. */
import type { SessionId } from '../../model/event.ts'
import { Refusal } from '../../model/refusal.ts'
import type { KeptDesk, KeptLayer } from '../kept-changes.ts'
import { askLine } from '../screen/prompt.ts'
import { plain } from '../screen/text.ts'
import { type Arguments, type Command, type Context, printJson, WrongUsage } from './command.ts'

async function layerOf(context: Context, given: Arguments): Promise<{ desk: KeptDesk; layer: KeptLayer }> {
  const id = given.word(0)
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new WrongUsage(`${plain(id, 40)} is not the whole id of a session.`)
  const { kept } = context
  if (kept === undefined) throw new Refusal('NOT_FOUND', 'This gateway takes no agents.')
  return { desk: kept, layer: await kept.show(context.identity, id as SessionId) }
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
    const { desk, layer } = await layerOf(context, given)
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
    const count = await desk.apply(context.identity, layer)
    if (given.flag('json')) return printJson(context, { applied: count, digest: layer.digest })
    await console.print(`Applied on ${layer.session.target}: ${count}.\n`)
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
    const { desk, layer } = await layerOf(context, given)
    await desk.discard(context.identity, layer)
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
