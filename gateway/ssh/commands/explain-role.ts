/** explain-role: what a role lets you do, in plain words. */
import { nearest } from '../../model/nearest.ts'
import { Refusal } from '../../model/refusal.ts'
import { allowsOf, termsOf } from '../../model/role-words.ts'
import type { Role } from '../../model/role.ts'
import { plain, wrapped } from '../screen/text.ts'
import { type Command, printJson } from './command.ts'
import { roleJson } from './json.ts'

export const explainRole: Command = {
  name: 'explain-role',
  usage: 'ROLE [--json]',
  summary: 'what a role lets you do, in plain words',
  example: 'explain-role readonly',
  options: { json: 'flag' },
  words: [1, 1],
  async run(context, given) {
    const known = await context.desk.roles(context.identity)
    const role = known.find(({ name }) => name === given.word(0))
    const meant = nearest(
      given.word(0),
      known.map(({ name }) => name),
    )
    if (role === undefined)
      throw new Refusal('NO_GRANT', `There is no role ${plain(given.word(0), 64)} that you may ask for.`, {
        next: meant === undefined ? 'Type `roles` to see yours.' : `Did you mean ${meant}?`,
      })
    if (given.flag('json')) return printJson(context, roleJson(role))
    await context.console.print(`${plain(`${role.name}: ${role.description}`)}\n`)
    await context.console.print(
      explain(role)
        .flatMap((line) => wrapped(plain(line), context.console.width - INDENT.length))
        .map((line) => (line.startsWith('- ') ? `${line}\n` : `${INDENT}${line}\n`))
        .join(''),
    )
    return 0
  },
}

const INDENT = '  '

const explain = (role: Role): readonly string[] => [
  ...role.endpoints.flatMap((endpoint) => allowsOf(role, endpoint).map((line) => `- ${endpoint}: ${line}`)),
  ...termsOf(role).map((line) => `- ${line}`),
]
