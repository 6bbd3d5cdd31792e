/** A role's rules for commands and files as plain data, and how a preset and a role's own list become one. */

/** A program with everything the preset allows, or with these flags (`-u`, `--since`) and sub-commands (`status`) only. */
export type CommandList = readonly (string | Readonly<Record<string, readonly string[]>>)[]

export type ShellConfig = {
  /** Absent: everything of `unix-read-only`. The preset's name in the list stands for all of it. */
  readonly commands?: CommandList | undefined
  /** Wins over `commands`: a program's name, or flags and sub-commands of it. */
  readonly deny?: CommandList | undefined
}

export type CommandRule = {
  /** `all`, or the only ones. */
  readonly flags: 'all' | ReadonlySet<string>
  readonly words: 'all' | ReadonlySet<string>
}

export type ShellRules = {
  readonly commands: ReadonlyMap<string, CommandRule>
  /** What is taken away again; a rule with `all` takes the whole program. */
  readonly denied: ReadonlyMap<string, CommandRule>
}

/** Globs over absolute paths: `**` any depth, `*` and `?` within one name. Deny wins; what no glob names is denied. */
export type FileRules = {
  readonly read: readonly string[]
  readonly write: readonly string[]
  readonly deny?: readonly string[]
}

export const PRESET = 'unix-read-only'

/** P5 of the policy. */
export const UNIX_READ_ONLY: readonly string[] = (
  'ls pwd cd whoami id uptime free uname hostname nproc lscpu lsblk w who last env printenv date df du ps top ss ip ' +
  'cat head tail less wc stat grep zcat find awk sed sort uniq cut tr echo printf diff cmp md5sum sha256sum nl tac strings ' +
  'file od hexdump basename dirname readlink realpath which type getent journalctl systemctl docker kubectl curl vmstat ' +
  'dmesg lsof ping exit'
).split(' ')

/** Belong to the shell itself: without them there is no prompt to speak of. */
const ALWAYS = ['cd', 'pwd', 'exit']
const EVERYTHING: CommandRule = { flags: 'all', words: 'all' }

/** `problems` are sentences for whoever wrote the config: names that no judge knows. Such a name allows nothing. */
export function shellRules(config: ShellConfig = {}): {
  readonly rules: ShellRules
  readonly problems: readonly string[]
} {
  const problems: string[] = []
  const commands = new Map<string, CommandRule>()
  for (const name of ALWAYS) commands.set(name, EVERYTHING)
  for (const [name, only] of entries(config.commands ?? [PRESET])) {
    if (name === PRESET && only === undefined) for (const each of UNIX_READ_ONLY) commands.set(each, EVERYTHING)
    else if (isKnown(name, problems)) commands.set(name, only === undefined ? EVERYTHING : narrowed(only))
  }
  const denied = new Map<string, CommandRule>()
  for (const [name, only] of entries(config.deny ?? []))
    if (isKnown(name, problems)) denied.set(name, only === undefined ? EVERYTHING : taken(only))
  return { rules: { commands, denied }, problems }
}

function* entries(list: CommandList): Generator<readonly [name: string, only: readonly string[] | undefined]> {
  for (const entry of list)
    if (typeof entry === 'string') yield [entry, undefined]
    else for (const [name, only] of Object.entries(entry)) yield [name, only]
}

function isKnown(name: string, problems: string[]): boolean {
  if (UNIX_READ_ONLY.includes(name)) return true
  problems.push(`The read-only shell has no rules for \`${name}\`, so it stays refused.`)
  return false
}

const isFlag = (text: string): boolean => text.startsWith('-')

/** A list with flags only leaves the sub-commands alone, and the other way round. */
function narrowed(only: readonly string[]): CommandRule {
  const words = only.filter((text) => !isFlag(text))
  const options = only.filter(isFlag)
  return {
    flags: options.length === 0 && words.length > 0 ? 'all' : new Set(options),
    words: words.length === 0 ? 'all' : new Set(words),
  }
}

const taken = (only: readonly string[]): CommandRule => ({
  flags: new Set(only.filter(isFlag)),
  words: new Set(only.filter((text) => !isFlag(text))),
})

/** Whether a program, a flag of it (any of its names) or its sub-command is allowed to this role. */
export class Use {
  readonly #rule: CommandRule | undefined
  readonly #denied: CommandRule | undefined
  constructor(rules: ShellRules, name: string) {
    this.#rule = rules.commands.get(name)
    this.#denied = rules.denied.get(name)
  }
  get isAllowed(): boolean {
    return this.#rule !== undefined && !(this.#denied?.flags === 'all' && this.#denied.words === 'all')
  }
  flag = (names: readonly string[]): boolean => isWithin(this.#rule?.flags, names) && !takes(this.#denied?.flags, names)
  word = (name: string): boolean => isWithin(this.#rule?.words, [name]) && !takes(this.#denied?.words, [name])
}

const isWithin = (list: 'all' | ReadonlySet<string> | undefined, names: readonly string[]): boolean =>
  list === 'all' || names.some((name) => list?.has(name))

const takes = (list: 'all' | ReadonlySet<string> | undefined, names: readonly string[]): boolean =>
  list !== undefined && list !== 'all' && names.some((name) => list.has(name))
