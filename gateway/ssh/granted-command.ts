/** A role's own commands on a target: which one a person means, by words or from a menu, and the verdict on it. */
import { Refusal } from '../model/refusal.ts'
import { ALLOW, type Verdict } from '../model/statement.ts'
import type { Admission, Session } from '../session/session.ts'
import { commandsOf, type GrantedCommand, grantedCommand, usageOf, wordsOf } from './command-grants.ts'
import type { CommandGrant } from '../model/role.ts'
import type { SessionRequest } from './engine/contract.ts'
import type { Console } from './screen/console.ts'
import { choose } from './screen/menu.ts'
import { askLine } from './screen/prompt.ts'
import { firstWord } from './commands/words.ts'
import { plain } from './screen/text.ts'

/** What the person means: nothing of the role's own commands, one of them in words, or nothing at all. */
export type Meant =
  | { readonly kind: 'other' }
  | { readonly kind: 'left' }
  | { readonly kind: 'command'; readonly line: string }

/** @throws {Refusal} BAD_INPUT with the list, where nobody can choose. */
export async function meantCommand(
  console: Console,
  { role, target }: Admission,
  request: SessionRequest,
): Promise<Meant> {
  const commands = commandsOf(role)
  if (commands.length === 0 || request.kind === 'sftp' || role.ssh.shell === 'full') return { kind: 'other' }
  if (request.kind === 'exec') {
    const isNamed = commands.some(({ name }) => name === firstWord(request.command)[0])
    return isNamed || role.ssh.shell === 'none' ? { kind: 'command', line: request.command } : { kind: 'other' }
  }
  if (role.ssh.shell !== 'none') return { kind: 'other' }
  if (!console.hasTerminal)
    throw new Refusal('BAD_INPUT', `Role ${role.name} has no shell on ${target.name}, but these commands:`, {
      next: commands.map(usageOf).join('; '),
    })
  return (await chosen(console, `${role.name} on ${target.name}`, commands)) ?? { kind: 'left' }
}

async function chosen(console: Console, title: string, commands: readonly CommandGrant[]): Promise<Meant | undefined> {
  const choices = commands.map((command) => ({
    label: usageOf(command),
    detail: command.description === '' ? command.template : command.description,
  }))
  const command = commands[(await choose(console, title, choices)) ?? -1]
  if (command === undefined) return undefined
  const given: string[] = []
  for (const parameter of command.parameters) {
    const { fallback, name, type } = parameter
    const only = type.kind === 'enum' && type.values.length === 1 ? type.values[0] : undefined
    const value = await askLine(console, `${name}, ${wordsOf(parameter)}:`, fallback ?? only)
    if (value === undefined) return undefined
    given.push(`${name}=${value}`)
  }
  return { kind: 'command', line: [command.name, ...given].join(' ') }
}

/** The verdict is in the journal before anything is opened. @throws {Refusal} */
export function judged(
  session: Session,
  line: string,
): Promise<{ readonly command: GrantedCommand; readonly n: number }> {
  const { admission, ended, road } = session
  let command: GrantedCommand | undefined
  let denied = new Refusal('NOT_ALLOWED', `Role ${admission.role.name} does not have this command.`)
  try {
    command = grantedCommand(admission.role, line)
  } catch (failure) {
    if (!(failure instanceof Refusal)) throw failure
    denied = failure
  }
  const verdict: Verdict = command === undefined ? { decision: 'deny', reason: denied.message } : ALLOW
  const text = command?.text ?? plain(line, 4096)
  return new Promise((resolve, reject) => {
    const cut = () =>
      reject(ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.'))
    if (ended.aborted) return cut()
    ended.addEventListener('abort', cut, { once: true })
    const settle = (act: () => void) => {
      ended.removeEventListener('abort', cut)
      act()
    }
    road.statement(
      { statement: { kind: 'command', text }, verdict },
      (n) => settle(() => (command === undefined ? reject(denied) : resolve({ command, n }))),
      () => settle(() => reject(denied)),
    )
    return undefined
  })
}
