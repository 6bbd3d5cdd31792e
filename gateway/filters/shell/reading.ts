/**
 * The strict reading of a line: a closed subset of the POSIX shell grammar (P1–P3 of the policy) in which every character is accounted for.
 * What is not in the subset is refused with a sentence that names it.
 */
import { type Sign, spread } from './braces.ts'
import { checkUnquoted } from './characters.ts'
import { type Join, type Part, type Redirection, Refused, type VariableName, type Word } from './words.ts'

/** A simple command as it was read; the first word is the command word. */
export type SimpleCommand = {
  /** As written, without a single quote, expansion or escape in it; undefined when it was not so plain. */
  readonly plainName: string | undefined
  readonly words: readonly Word[]
  readonly redirections: readonly Redirection[]
  /** Where its words stand in the line, for the second reading. */
  readonly spans: readonly (readonly [start: number, end: number])[]
}
export type Pipeline = { readonly join: Join; readonly commands: readonly SimpleCommand[] }

const VARIABLE = /^(?:\?|[A-Za-z_][A-Za-z0-9_]*)/
const VARIABLES: readonly string[] = ['HOME', 'USER', 'PWD', 'HOSTNAME', '?'] satisfies readonly VariableName[]
const OPERATORS: Readonly<Record<string, string>> = {
  '&': 'Background jobs (&) are not allowed.',
  '(': 'Subshells and functions, ( ), are not allowed.',
  ')': 'Subshells and functions, ( ), are not allowed.',
  '<': 'Reading from files with < and here-documents are not allowed; name the file as an argument.',
}
const GRAMMAR = 'A line is made of commands with arguments, joined by | ; && and ||.'
const REDIRECTIONS: readonly Redirection[] = ['2>/dev/null', '2>&1', '>/dev/null']
const MAX_WORDS = 1024
const KEYWORDS = new Set(
  'if then else elif fi case esac for select while until do done in function time coproc [[ ]]'.split(' '),
)
const ENDS_WORD = /^[\t ;|&<>()]/

/** @throws {Refused} */
export function read(line: string): readonly Pipeline[] {
  return new Reader(line).pipelines()
}

class Reader {
  readonly #line: string
  #at = 0
  #words: Word[] = []
  #redirections: Redirection[] = []
  #spans: [number, number][] = []
  #plainName: string | undefined
  #commands: SimpleCommand[] = []
  #pipelines: Pipeline[] = []
  #join: Join = ';'

  constructor(line: string) {
    this.#line = line
  }

  pipelines(): readonly Pipeline[] {
    while (this.#at < this.#line.length) {
      const here = this.#line[this.#at]
      if (here === ' ' || here === '\t') this.#at += 1
      else if (here === '#') break
      else if (here === ';') this.#semicolon()
      else if (here === '|' || here === '&') this.#joint()
      else if (this.#redirection()) continue
      else if (here !== undefined && here in OPERATORS) throw new Refused(OPERATORS[here] ?? '', GRAMMAR)
      else this.#word()
    }
    if (this.#isOpen()) this.#endPipeline()
    else if (this.#commands.length > 0 || this.#join !== ';')
      throw new Refused('The line ends in an operator.', GRAMMAR)
    return this.#pipelines
  }

  #isOpen = (): boolean => this.#words.length > 0 || this.#redirections.length > 0

  #semicolon(): void {
    if (this.#line[this.#at + 1] === ';') throw new Refused(';; is not allowed.', GRAMMAR)
    if (!this.#isOpen()) throw new Refused('There is no command before this ;.', GRAMMAR)
    this.#endPipeline()
    this.#join = ';'
    this.#at += 1
  }

  #joint(): void {
    const two = this.#line.slice(this.#at, this.#at + 2)
    if (two === '|&') throw new Refused('|& is not allowed.', 'Write 2>&1 | instead.')
    if (two === '&>') throw new Refused('Redirections to files are not allowed.', REDIRECTION_HINT)
    if (two !== '&&' && two.startsWith('&')) throw new Refused(OPERATORS['&'] ?? '', GRAMMAR)
    if (!this.#isOpen())
      throw new Refused(`There is no command before this ${two === '||' || two === '&&' ? two : '|'}.`, GRAMMAR)
    if (two === '&&' || two === '||') {
      this.#endPipeline()
      this.#join = two
      this.#at += 2
    } else {
      this.#endCommand()
      this.#at += 1
    }
  }

  #endCommand(): void {
    if (this.#words.length === 0) throw new Refused('A redirection needs a command.', GRAMMAR)
    this.#commands.push({
      plainName: this.#plainName,
      words: this.#words,
      redirections: this.#redirections,
      spans: this.#spans,
    })
    this.#words = []
    this.#redirections = []
    this.#spans = []
    this.#plainName = undefined
  }

  #endPipeline(): void {
    this.#endCommand()
    this.#pipelines.push({ join: this.#join, commands: this.#commands })
    this.#commands = []
  }

  /** Only at the start of a word. A number is part of a redirection only when it touches it. */
  #redirection(): boolean {
    const rest = this.#line.slice(this.#at)
    const operator = /^\d*[<>]/.exec(rest)
    if (operator === null) return false
    const allowed = REDIRECTIONS.find((text) => rest.startsWith(text))
    const end = allowed === undefined ? '' : rest.slice(allowed.length)
    if (allowed === undefined || (end !== '' && !ENDS_WORD.test(end)) || /^[<>&(]/.test(end.replace(/^&&/, '')))
      throw operator[0].endsWith('<')
        ? new Refused(OPERATORS['<'] ?? '', REDIRECTION_HINT)
        : new Refused('Redirections to files are not allowed.', REDIRECTION_HINT)
    this.#redirections.push(allowed)
    this.#at += allowed.length
    return true
  }

  #word(): void {
    const start = this.#at
    const signs: Sign[] = []
    while (this.#at < this.#line.length && !ENDS_WORD.test(this.#line[this.#at] ?? '')) {
      const here = this.#line[this.#at]
      if (here === "'" || here === '"') signs.push({ text: '', quoted: true })
      if (here === "'") this.#single(signs)
      else if (here === '"') this.#double(signs)
      else if (here === '\\') this.#escape(signs)
      else if (here === '$' || here === '`') signs.push(this.#expansion(false))
      else this.#bare(signs)
    }
    const text = this.#line.slice(start, this.#at)
    const isCommandWord = this.#words.length === 0
    if (isCommandWord && /^[A-Za-z_][A-Za-z0-9_]*(?:\[[^\]]*\])?\+?=/.test(text))
      throw new Refused('Assignments are not allowed.', 'Run the command without them.')
    if (!isCommandWord && (text === '{' || text === '}'))
      throw new Refused('Groups in braces are not allowed.', `${GRAMMAR} Put quotes around a brace that is only text.`)
    if (isCommandWord && /^(?:!|\{|\})/.test(text)) throw new Refused(`\`${text}\` is not allowed here.`, GRAMMAR)
    if (isCommandWord && KEYWORDS.has(text))
      throw new Refused(
        `\`${text}\` is a keyword of the shell; loops, conditions and functions are not allowed.`,
        GRAMMAR,
      )
    if (isCommandWord) this.#plainName = /^[A-Za-z0-9/._+-]+$/.test(text) ? text : undefined
    this.#spans.push([start, this.#at])
    for (const spreadSigns of isCommandWord ? [signs] : spread(signs))
      if (spreadSigns.length > 0) this.#words.push(toWord(spreadSigns))
    if (this.#words.length > MAX_WORDS) throw new Refused(`A command may have ${MAX_WORDS} words at most.`)
  }

  #single(signs: Sign[]): void {
    const end = this.#line.indexOf("'", this.#at + 1)
    if (end < 0) throw new Refused("A single quote (') is not closed.", "Close it, or write \\' for the sign itself.")
    for (const text of this.#line.slice(this.#at + 1, end)) signs.push({ text, quoted: true })
    this.#at = end + 1
  }

  #double(signs: Sign[]): void {
    this.#at += 1
    for (;;) {
      const here = this.#character()
      if (here === '')
        throw new Refused('A double quote (") is not closed.', 'Close it, or write \\" for the sign itself.')
      if (here === '"') break
      if (here === '$' || here === '`') {
        signs.push(this.#expansion(true))
        continue
      }
      this.#at += here.length
      if (here === '\\' && /^[$`"\\]/.test(this.#line.slice(this.#at))) {
        signs.push({ text: this.#line[this.#at] ?? '', quoted: true })
        this.#at += 1
        continue
      }
      if (here === '!') this.#history(true)
      signs.push({ text: here, quoted: true })
    }
    this.#at += 1
  }

  #escape(signs: Sign[]): void {
    this.#at += 1
    const text = this.#character()
    if (text === '') throw new Refused('The line ends in a backslash.', 'Finish the line.')
    checkUnquoted(text)
    signs.push({ text, quoted: true })
    this.#at += text.length
  }

  #bare(signs: Sign[]): void {
    const text = this.#character()
    checkUnquoted(text)
    const before = this.#line[this.#at - 1]
    this.#at += text.length
    if (text === '!' && before !== '[') this.#history(false)
    if (text === '~' && signs.length > 0 && (before === '=' || before === ':'))
      throw new Refused('A tilde after = or : is read differently by different shells.', 'Use $HOME, or quote it.')
    signs.push({ text, quoted: false })
  }

  /** Stands behind the sign. People paste lines from shells that would replace `!x` by an older line. */
  #history(isQuoted: boolean): void {
    const next = this.#line[this.#at]
    const isText =
      next === undefined || /[\s=(]/.test(next) || (isQuoted && next === '"') || (!isQuoted && /[;|&<>)]/.test(next))
    if (!isText) throw new Refused('History expansion (!) is not allowed.', "Put the ! into single quotes: '!'.")
  }

  #expansion(isQuoted: boolean): Sign {
    if (this.#line[this.#at] === '`')
      throw new Refused('Command substitution with backticks is not allowed.', "Single quotes make it plain text: '`'.")
    const rest = this.#line.slice(this.#at + 1)
    const name = VARIABLE.exec(rest)?.[0]
    if (name !== undefined && VARIABLES.includes(name)) {
      this.#at += 1 + name.length
      return { text: name, quoted: isQuoted, variable: true }
    }
    if (rest.startsWith('(')) throw new Refused('Command substitution, $( ), is not allowed.', VARIABLES_HINT)
    if (rest.startsWith('{')) throw new Refused('Parameter expansion, ${ }, is not allowed.', VARIABLES_HINT)
    if (!isQuoted && (rest.startsWith("'") || rest.startsWith('"')))
      throw new Refused(`Quoting with $${rest[0] ?? ''} is not allowed.`, 'Use plain single or double quotes.')
    throw new Refused(`\`$${name ?? ''}\` is not allowed.`, VARIABLES_HINT)
  }

  #character = (): string => {
    const point = this.#line.codePointAt(this.#at)
    return point === undefined ? '' : String.fromCodePoint(point)
  }
}

const VARIABLES_HINT = "Only $HOME, $USER, $PWD, $HOSTNAME and $? are; single quotes make a $ plain text: '$'."
const REDIRECTION_HINT = 'Only 2>&1, 2>/dev/null and >/dev/null are allowed, written exactly so.'

/** Quotes are gone, brace lists are spread: what is left unquoted may be a tilde or a pattern. */
function toWord(signs: readonly Sign[]): Word {
  const parts: Part[] = []
  let literal = ''
  const add = (part: Part): void => {
    if (literal !== '') parts.push({ literal })
    literal = ''
    const last = parts.at(-1)
    if (last !== undefined && 'glob' in last && 'glob' in part)
      parts[parts.length - 1] = { glob: last.glob + part.glob }
    else parts.push(part)
  }
  /** A bracket expression ends here at the latest; without it a bracket is only a bracket. */
  const lastClose = signs.findLastIndex((sign) => sign.text === ']' && !sign.quoted && !sign.variable)
  let bracketEnd = -1
  signs.forEach((sign, at) => {
    if (sign.variable) add({ variable: sign.text as VariableName })
    else if (sign.quoted) literal += sign.text
    else if (sign.text === '~' && at === 0) {
      const next = signs[1]
      if (next !== undefined && (next.quoted || next.variable || next.text !== '/'))
        throw new Refused('Only ~ and ~/… are allowed, not the home of somebody else.', 'Write the path out.')
      add({ tilde: true })
    } else if (sign.text === '*' || sign.text === '?' || at <= bracketEnd) add({ glob: sign.text })
    else if (sign.text === '[') {
      if (lastClose <= at + 1) literal += sign.text
      else {
        bracketEnd = lastClose
        add({ glob: sign.text })
      }
    } else literal += sign.text
  })
  if (literal !== '') parts.push({ literal })
  return { parts }
}
