/** request, approve, deny, withdraw, extend, release: the steps of one grant. */
import type { Grant } from '../../model/grant.ts'
import type { Protocol } from '../../model/target.ts'
import { type Arguments, type Command, type Context, printJson, typed, WrongUsage } from './command.ts'
import { grantJson } from './json.ts'
import { saidOf, untilDecided } from './waiting.ts'
import { plain } from '../screen/text.ts'

export const request: Command = {
  name: 'request',
  usage: 'TARGET --reason "…" [--role R] [--for 30m] [--ticket INC-42] [--wait] [--json]',
  summary: 'ask for a role on a target',
  example: 'request prod-db --role operator --for 30m --reason "INC-42 disk full"',
  details:
    '--role   may be left out where only one is possible (`targets` shows yours)\n--for    90s, 30m, 1h30m; the role says the most\n--reason all words up to the next option\n--ticket where more can be read\n--wait   do not return before somebody has decided',
  options: { role: 'text', for: 'text', reason: 'text', ticket: 'text', wait: 'flag', json: 'flag' },
  words: [1, 1],
  async run(context, given) {
    const asked = await context.desk.request(context.identity, {
      target: given.word(0),
      role: given.text('role'),
      minutes: given.minutes('for'),
      reason: given.need('reason'),
      ticket: given.text('ticket'),
    })
    const grant = asked.state !== 'live' && given.flag('wait') ? await untilDecided(context, asked) : asked
    if (grant.state === 'requested' && !given.flag('json')) {
      await context.console.print(await saidOf(context, grant))
      await context.console.note(
        `For an approver: ${context.publicUrl}/requests/${grant.id}\nTake it back: ${typed(context, `withdraw ${grant.id}`)}\n`,
      )
      return 0
    }
    return result(context, given, grant)
  },
}

export const approve: Command = {
  name: 'approve',
  usage: 'NUMBER [--for 15m] [--endpoints ssh,postgres] [--read-only] [--json]',
  summary: 'say yes to a request, or to less than it asks for',
  example: 'approve 17 --for 15m --read-only',
  details:
    '--for       a shorter time\n--endpoints only these of what was asked for: ssh, postgres, http\n--read-only for looking only: no writes, no named commands, no forwarding',
  options: { for: 'text', endpoints: 'text', 'read-only': 'flag', json: 'flag' },
  words: [1, 1],
  run: async (context, given) =>
    result(
      context,
      given,
      await context.desk.approve(context.identity, given.grantId(0), {
        minutes: given.minutes('for'),
        endpoints: endpointsOf(given.text('endpoints')),
        readOnly: given.flag('read-only'),
      }),
    ),
}

function endpointsOf(text: string | undefined): readonly Protocol[] | undefined {
  if (text === undefined) return undefined
  const names = text.split(',').map((name) => name.trim())
  const known = names.filter((name): name is Protocol => name === 'ssh' || name === 'postgres' || name === 'http')
  if (known.length < names.length) throw new WrongUsage('--endpoints takes ssh, postgres, http, with commas between.')
  return known
}

export const deny: Command = {
  name: 'deny',
  usage: 'NUMBER --reason "…" [--json]',
  summary: 'say no to a request, and why',
  example: 'deny 17 --reason "wait for the backup"',
  options: { reason: 'text', json: 'flag' },
  words: [1, 1],
  run: async (context, given) =>
    result(context, given, await context.desk.deny(context.identity, given.grantId(0), given.need('reason'))),
}

export const withdraw: Command = {
  name: 'withdraw',
  usage: 'NUMBER [--json]',
  summary: 'take your own request back',
  example: 'withdraw 17',
  options: { json: 'flag' },
  words: [1, 1],
  run: async (context, given) =>
    result(context, given, await context.desk.withdraw(context.identity, given.grantId(0))),
}

export const extend: Command = {
  name: 'extend',
  usage: 'NUMBER [--for 30m] [--reason "…"] [--json]',
  summary: 'ask for more time under the rule of the role; open sessions go on',
  example: 'extend 17 --for 30m',
  options: { for: 'text', reason: 'text', json: 'flag' },
  words: [1, 1],
  run: async (context, given) =>
    result(
      context,
      given,
      await context.desk.extend(context.identity, given.grantId(0), {
        minutes: given.minutes('for'),
        reason: given.text('reason'),
      }),
    ),
}

export const release: Command = {
  name: 'release',
  usage: 'NUMBER [--json]',
  summary: 'give your grant back early; its sessions end',
  example: 'release 17',
  options: { json: 'flag' },
  words: [1, 1],
  run: async (context, given) => result(context, given, await context.desk.release(context.identity, given.grantId(0))),
}

async function result(context: Context, given: Arguments, grant: Grant): Promise<number> {
  if (given.flag('json')) return printJson(context, grantJson(grant))
  await context.console.print(
    (await saidOf(context, grant))
      .split('\n')
      .map((line) => plain(line))
      .join('\n'),
  )
  return 0
}
