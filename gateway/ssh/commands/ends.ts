/** revoke, lock, unlock, kill: ending what others have. */
import type { RevokeScope } from '../../session/session.ts'
import { plain } from '../screen/text.ts'
import { type Arguments, type Command, grantIdOf, printJson, WrongUsage } from './command.ts'
import { grantJson } from './json.ts'
import { sessionNamed } from './sessions.ts'

export const revoke: Command = {
  name: 'revoke',
  usage: 'NUMBER | --person P | --target T  [--note "…"] [--json]',
  summary: 'end one grant, all of a person, or all on a target, now; open sessions are cut',
  example: 'revoke 17 --note "not needed any more"',
  options: { person: 'text', target: 'text', note: 'text', json: 'flag' },
  words: [0, 1],
  async run(context, given) {
    const ended = await context.desk.revoke(context.identity, scopeOf(given), given.text('note') ?? '')
    if (given.flag('json')) return printJson(context, ended.map(grantJson))
    if (ended.length === 0) await context.console.note('There was nothing to end.\n')
    for (const grant of ended)
      await context.console.print(
        plain(`Grant ${grant.id} of ${grant.username} (${grant.role} on ${grant.target}) is revoked.`) + '\n',
      )
    return 0
  },
}

function scopeOf(given: Arguments): RevokeScope {
  const [number] = given.words
  const person = given.text('person')
  const target = given.text('target')
  if ([number, person, target].filter((one) => one !== undefined).length !== 1)
    throw new WrongUsage('revoke needs exactly one of a number, --person and --target.')
  if (number !== undefined) return { grant: grantIdOf(number) }
  return person === undefined ? { target: target ?? '' } : { person }
}

export const lock: Command = {
  name: 'lock',
  usage: 'PERSON --note "…"',
  summary: 'admins: keep a person out; everything they have open ends now',
  example: 'lock mallory --note "lost laptop"',
  options: { note: 'text' },
  words: [1, 1],
  async run({ desk, identity, console, signIns }, given) {
    const name = given.word(0)
    await desk.lock(identity, name, given.need('note'))
    await console.print(`${plain(name, 64)} is locked.\n`)
    if ((await signIns.person(name)) === undefined)
      await console.note(
        `Nobody of that name has signed in here yet. If the name is wrong: unlock ${plain(name, 64)}, and lock the right one.\n`,
      )
    return 0
  },
}

export const unlock: Command = {
  name: 'unlock',
  usage: 'PERSON',
  summary: 'admins: let a locked person sign in again',
  example: 'unlock mallory',
  options: {},
  words: [1, 1],
  async run({ desk, identity, console }, given) {
    await desk.unlock(identity, given.word(0))
    await console.print(`${plain(given.word(0), 64)} is unlocked.\n`)
    return 0
  },
}

export const kill: Command = {
  name: 'kill',
  usage: 'SESSION [--note "…"]',
  summary: 'end one session now; the grant stays',
  example: 'kill 0198c0de --note "please stop"',
  options: { note: 'text' },
  words: [1, 1],
  async run(context, given) {
    const session = await sessionNamed(context, given.word(0))
    await context.desk.kill(context.identity, session.id, given.text('note') ?? '')
    await context.console.print(`Session ${session.id} of ${session.username} on ${plain(session.target)} is ended.\n`)
    return 0
  },
}
