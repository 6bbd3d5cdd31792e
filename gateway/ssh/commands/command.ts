/** What a command is, and the arguments it gets. */
import { parseArgs } from 'node:util'
import type { Audit } from '../../model/event.ts'
import type { GrantId } from '../../model/grant.ts'
import type { Identity } from '../../model/identity.ts'
import type { Clock, Moment } from '../../model/moment.ts'
import type { Role } from '../../model/role.ts'
import type { Target } from '../../model/target.ts'
import type { AccessDesk, Library, SignIns } from '../../session/session.ts'
import type { Console } from '../screen/console.ts'
import type { KeptDesk } from '../kept-changes.ts'
import type { AgentDesk } from './agents.ts'
import { nearest } from '../../model/nearest.ts'
import { plain } from '../screen/text.ts'
import { minutesOf } from './spans.ts'

/** Passwords for databases. identity/ fits. */
export type DatabaseTokenDesk = {
  issue(who: Identity, ms: number): Promise<{ readonly token: string; readonly expiresAt: Moment }>
  revoke(who: Identity): Promise<boolean>
}

export type CommandParts = {
  readonly agents?: AgentDesk | undefined
  /** Undefined where nothing can be kept. */
  readonly kept?: KeptDesk | undefined
  readonly desk: AccessDesk
  readonly library: Library
  /** As the configuration has it, whoever may ask for it. */
  readonly role: (name: string) => Role | undefined
  readonly target: (name: string) => Target | undefined
  readonly signIns: Pick<SignIns, 'forget' | 'person'>
  /** Undefined where the gateway has no database door. */
  readonly tokens?: DatabaseTokenDesk | undefined
  readonly audit: Audit
  readonly clock: Clock
  /** How people reach this gateway. */
  readonly address: { readonly host: string; readonly port: number }
  /** Public key lines: the gateway's own, and that of the authority behind its host certificates. */
  readonly hostKeys: { readonly host: string; readonly hostAuthority: string }
  readonly publicUrl: string
}

export type Context = CommandParts & { readonly identity: Identity; readonly console: Console }

export type Command = {
  readonly name: string
  /** After the name: `TARGET --role R`. */
  readonly usage: string
  readonly summary: string
  /** A line that works, without `ssh gateway`; with `-t` in front where it wants a terminal. */
  readonly example: string
  /** More for `help COMMAND`; lines. */
  readonly details?: string
  readonly options: Readonly<Record<string, 'text' | 'flag'>>
  /** How many words it takes, least and most. */
  readonly words: readonly [number, number]
  /** @returns the exit code. @throws {Refusal} {@link WrongUsage} */
  run(context: Context, given: Arguments): Promise<number>
}

/** One clear line about what is wrong with a command line. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage'
}

export class Arguments {
  readonly #values: Readonly<Record<string, string | boolean | undefined>>
  readonly words: readonly string[]

  constructor(values: Readonly<Record<string, string | boolean | undefined>>, words: readonly string[]) {
    this.#values = values
    this.words = words
  }

  flag(name: string): boolean {
    return this.#values[name] === true
  }

  text(name: string): string | undefined {
    const value = this.#values[name]
    return typeof value === 'string' ? value : undefined
  }

  need(name: string): string {
    const value = this.text(name)
    if (value === undefined || value.trim() === '') throw new WrongUsage(`--${name} is missing.`)
    return value
  }

  minutes(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const minutes = minutesOf(text)
    if (minutes === undefined)
      throw new WrongUsage(`--${name} takes a span like 90s, 30m or 1h30m, not ${plain(text, 40)}.`)
    return minutes
  }

  word(at: number): string {
    return this.words[at] ?? ''
  }

  grantId(at: number): GrantId {
    return grantIdOf(this.word(at))
  }
}

export function grantIdOf(text: string): GrantId {
  if (!/^\d{1,15}$/.test(text)) throw new WrongUsage(`${plain(text, 40)} is not the number of a request or grant.`)
  return text as GrantId
}

/** @throws {WrongUsage} */
export function argumentsOf(command: Command, words: readonly string[]): Arguments {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, kind]) => [
      name,
      { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({ args: [...words], options, allowPositionals: true, strict: true })
  } catch (failure) {
    throw new WrongUsage(complaint(failure, words, Object.keys(options)))
  }
  const [least, most] = command.words
  const given = parsed.positionals
  if (given.length < least)
    throw new WrongUsage(`${command.name} needs ${command.usage.split(' ').slice(0, least).join(' ')}.`)
  if (given.length > most) throw new WrongUsage(`${plain(given[most] ?? '', 40)} is one word too many.`)
  return new Arguments(parsed.values as Record<string, string | boolean | undefined>, given)
}

/** The first sentence of what parseArgs says, which names the option, and the option that was perhaps meant. */
function complaint(failure: unknown, words: readonly string[], options: readonly string[]): string {
  const text = failure instanceof Error ? failure.message : String(failure)
  const [first = text] = text.split(/[.\n] ?/)
  const unknown = words
    .map((word) => /^--([^=]+)/.exec(word)?.[1])
    .find((name) => name !== undefined && !options.includes(name))
  const meant = unknown === undefined ? undefined : nearest(unknown, options)
  return `${plain(first, 200)}.${meant === undefined ? '' : ` Did you mean --${meant}?`}`
}

/** How to type a command of ours, ready to paste. */
export function typed(context: Pick<Context, 'address' | 'identity'>, rest: string, options = ''): string {
  const { host, port } = context.address
  const portOption = port === 22 ? '' : ` -p ${port}`
  return `ssh${options}${portOption} ${context.identity.username}@${host} ${rest}`.trimEnd()
}

/** What JSON leaves as it is, and what acts on some terminals all the same. */
const ACTING = /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g
const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/** One JSON document for scripts. */
export async function printJson(context: Context, value: unknown): Promise<number> {
  await context.console.print(`${JSON.stringify(value, null, 2).replace(ACTING, escaped)}\n`)
  return 0
}
