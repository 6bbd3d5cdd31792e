/** token: a password for psql, drivers and pools, for some hours. */
import { Refusal } from '../../model/refusal.ts'
import { type Command, printJson, WrongUsage } from './command.ts'
import { isoTime } from './json.ts'
import { clockTime, spanOf } from './spans.ts'

const DEFAULT_MINUTES = 8 * 60
const MOST_MINUTES = 12 * 60

export const token: Command = {
  name: 'token',
  usage: '[--for 8h] [--revoke] [--json]',
  summary: 'a password for psql, drivers and pools: shown once, good for some hours',
  example: 'token --for 8h',
  details:
    'Only the token goes to standard output, so this works:  export PGPASSWORD=$(ssh … token --for 8h)\n' +
    'A new token takes the place of the one before. Without one, psql signs you in through the browser and needs no password.',
  options: { for: 'text', revoke: 'flag', json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const { tokens, identity, console, clock } = context
    if (tokens === undefined) throw new Refusal('NOT_FOUND', 'This gateway has no database door.')
    if (given.flag('revoke')) {
      await console.print((await tokens.revoke(identity)) ? 'Your token is worthless now.\n' : 'You have no token.\n')
      return 0
    }
    const minutes = given.minutes('for') ?? DEFAULT_MINUTES
    if (minutes > MOST_MINUTES) throw new WrongUsage('A token lives for 12h at most.')
    const made = await tokens.issue(identity, minutes * 60_000)
    if (given.flag('json')) return printJson(context, { token: made.token, expiresAt: isoTime(made.expiresAt) })
    await console.print(`${made.token}\n`)
    await console.note(
      `Your database password until ${clockTime(made.expiresAt, clock.now())} (${spanOf(made.expiresAt - clock.now())}), as user ${identity.username}. It is not shown again.\n`,
    )
    return 0
  },
}
