/** Granted commands: what a person typed against what the role names. The only maker of a {@link GrantedCommand}. Pure. */
import { Refusal } from '../model/refusal.ts'
import type { CommandGrant, CommandParameter, Role } from '../model/role.ts'
import { plain } from './screen/text.ts'

/** Proof that a role names exactly this command. The class stays here, and its private field keeps look-alikes out. */
class GrantedCommand {
  readonly #seal = true
  readonly grant: CommandGrant
  readonly argv: readonly string[]

  constructor(grant: CommandGrant, argv: readonly string[]) {
    this.grant = grant
    this.argv = argv
  }

  static made(x: object): x is GrantedCommand {
    return #seal in x && x.#seal
  }

  /** As an auditor reads it, and as a POSIX shell would have to be told. */
  get text(): string {
    return this.argv.map(quoted).join(' ')
  }
}
export type { GrantedCommand }
export const isGrantedCommand = (x: object): x is GrantedCommand => GrantedCommand.made(x)

export const commandsOf = (role: Role): readonly CommandGrant[] => role.ssh.commands ?? []

/** `logs app=orders lines=200`. @throws {Refusal} NOT_ALLOWED for what the role does not name, BAD_INPUT for values that do not fit. */
export function grantedCommand(role: Role, line: string): GrantedCommand {
  const [first = '', ...rest] = line.trim().split(/\s+/)
  const grant = commandsOf(role).find(({ name }) => name === first)
  if (grant === undefined)
    throw new Refusal('NOT_ALLOWED', `Role ${role.name} has no command ${plain(first, 40)}.`, {
      next: `It has: ${commandsOf(role).map(usageOf).join('; ')}`,
    })
  const given = new Map<string, string>()
  for (const word of rest) {
    const cut = word.indexOf('=')
    const name = cut < 0 ? word : word.slice(0, cut)
    if (cut < 0 || !grant.parameters.some((parameter) => parameter.name === name))
      throw wrong(grant, `${plain(word, 40)} is not a parameter of ${grant.name}.`)
    if (given.has(name)) throw wrong(grant, `${name} is given twice.`)
    given.set(name, word.slice(cut + 1))
  }
  return filled(grant, given)
}

/** @throws {Refusal} BAD_INPUT */
function filled(grant: CommandGrant, given: ReadonlyMap<string, string>): GrantedCommand {
  const values = new Map<string, string>()
  for (const parameter of grant.parameters) {
    const value = given.get(parameter.name) ?? parameter.fallback
    if (value === undefined) throw wrong(grant, `${parameter.name} is missing.`)
    if (!fits(parameter, value)) throw wrong(grant, `${parameter.name} must be ${wordsOf(parameter)}.`)
    values.set(parameter.name, value)
  }
  const argv = grant.argv.map((pieces) =>
    pieces.map((piece) => ('text' in piece ? piece.text : (values.get(piece.parameter) ?? ''))).join(''),
  )
  return new GrantedCommand(grant, argv)
}

function fits({ type }: CommandParameter, value: string): boolean {
  switch (type.kind) {
    case 'int':
      // No leading zeros: some programs read them as octal.
      return /^(0|[1-9]\d{0,14})$/.test(value) && Number(value) >= type.least && Number(value) <= type.most
    case 'enum':
      return type.values.includes(value)
    case 'name':
      return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(value)
  }
  return type satisfies never
}

export function wordsOf({ type }: CommandParameter): string {
  if (type.kind === 'int') return `a number from ${type.least} to ${type.most}`
  if (type.kind === 'enum')
    return type.values.length === 1 ? (type.values[0] ?? '') : `one of ${type.values.join(', ')}`
  return 'a plain name'
}

const shown = ({ type }: CommandParameter): string =>
  type.kind === 'int' ? `${type.least}..${type.most}` : type.kind === 'enum' ? type.values.join('|') : 'NAME'

/** `logs app=orders|billing [lines=1..10000]` */
export function usageOf({ name, parameters }: CommandGrant): string {
  const words = parameters.map((parameter) => {
    const word = `${parameter.name}=${shown(parameter)}`
    return parameter.fallback === undefined ? word : `[${word}]`
  })
  return [name, ...words].join(' ')
}

const wrong = (grant: CommandGrant, sentence: string): Refusal =>
  new Refusal('BAD_INPUT', sentence, { next: `usage: ${usageOf(grant)}` })

/** One word of a POSIX shell, whatever is in it. */
const quoted = (word: string): string =>
  /^[A-Za-z0-9_./:@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
