/** sed: its script is read command by command, as GNU sed reads it; what writes, runs or reads other files is refused. */
import { flags, readOptions } from '../options.ts'
import { Refused, textOf } from '../words.ts'
import { bracketsAreClosed } from './brackets.ts'
import type { Program } from './program.ts'

const FLAGS = flags(
  'n,quiet,silent e,expression= E,r,regexp-extended s,separate u,unbuffered z,null-data,zero-terminated l,line-length= posix debug sandbox b,binary help version',
)
const REFUSED = flags('i,in-place? f,file= follow-symlinks')

export const sed: Program = {
  name: 'sed',
  /** GNU sed refuses e, w and r itself with it. */
  first: ['--sandbox'],
  judge: (argv, use) => {
    const { given, operands } = readOptions(argv, {
      known: FLAGS,
      refused: REFUSED,
      because: 'it changes files, or takes its commands from one',
      allows: use.flag,
    })
    const scripts = given.filter(({ flag }) => flag.names.includes('-e')).map(({ value }) => value)
    if (scripts.length === 0 && operands.length > 0) {
      scripts.push(textOf(operands[0]))
    }
    if (
      scripts.length === 0 &&
      given.every(({ flag }) => !flag.names.some((name) => name === '--help' || name === '--version'))
    )
      throw new Refused('sed needs a script.')
    for (const script of scripts) {
      if (script === undefined)
        throw new Refused(
          'The script of sed must be written out, without patterns or variables.',
          'Put it into single quotes.',
        )
      new SedScript(script).check()
    }
  },
}

const HARMLESS = new Set('=dDgGhHnNpPxzF')
const REFUSED_COMMANDS: Readonly<Record<string, string>> = {
  w: 'writes a file',
  W: 'writes a file',
  e: 'runs a command',
  r: 'reads another file',
  R: 'reads another file',
}

/** One `-e` chunk. A line of ours has no line breaks, so a chunk is one line of the script. */
class SedScript {
  readonly #script: string
  #at = 0
  constructor(script: string) {
    this.#script = script
  }

  /** @throws {Refused} */
  check(): void {
    for (;;) {
      this.#skip(/[\s;]/)
      if (this.#at >= this.#script.length) return
      if (this.#address()) {
        this.#skip(/\s/)
        if (this.#peek() === ',') {
          this.#at += 1
          this.#skip(/\s/)
          if (this.#peek() === '+' || this.#peek() === '~') this.#at += 1
          if (!this.#address()) throw this.#unreadable()
        }
      }
      this.#skip(/[\s!]/)
      if (this.#command()) return
    }
  }

  /** @returns true when the rest of the chunk belongs to this command. */
  #command(): boolean {
    const command = this.#next()
    const refused = REFUSED_COMMANDS[command]
    if (refused !== undefined) throw new Refused(`The sed command ${command} is not allowed: it ${refused}.`)
    if (command === '{' || command === '}') return false
    if (command === '#') return true
    if (command === 's') this.#substitute()
    else if (command === 'y') {
      const delimiter = this.#delimiter()
      this.#until(delimiter)
      this.#until(delimiter)
      this.#end()
    } else if (command === 'a' || command === 'i' || command === 'c') {
      if (this.#script.endsWith('\\')) throw new Refused(`The text of the sed command ${command} must end on its line.`)
      if (this.#script.slice(this.#at).trim() === '') throw this.#unreadable()
      return true
    } else if (command === ':' || command === 'b' || command === 't' || command === 'T' || command === 'v') {
      this.#skip(/\s/)
      this.#skip(/[A-Za-z0-9_.-]/)
      this.#end()
    } else if (command === 'q' || command === 'Q' || command === 'l' || command === 'L') {
      this.#skip(/\s/)
      this.#skip(/\d/)
      this.#end()
    } else if (HARMLESS.has(command)) this.#end()
    else throw this.#unreadable()
    return false
  }

  #substitute(): void {
    const delimiter = this.#delimiter()
    this.#pattern(delimiter)
    this.#until(delimiter)
    for (;;) {
      const flag = this.#peek()
      if (flag === 'w' || flag === 'e')
        throw new Refused(
          `The flag ${flag} of s/// is not allowed: it ${flag === 'w' ? 'writes a file' : 'runs a command'}.`,
        )
      if (!/^[gpiImM0-9]$/.test(flag)) break
      this.#at += 1
    }
    this.#end()
  }

  #address(): boolean {
    const first = this.#peek()
    if (/\d/.test(first)) {
      this.#skip(/\d/)
      this.#skip(/\s/)
      if (this.#peek() === '~') {
        this.#at += 1
        this.#skip(/\d/)
      }
      return true
    }
    if (first === '$') {
      this.#at += 1
      return true
    }
    if (first !== '/' && first !== '\\') return false
    this.#at += 1
    this.#pattern(first === '/' ? '/' : this.#delimiter())
    this.#skip(/[IM]/)
    return true
  }

  #delimiter(): string {
    const delimiter = this.#next()
    if (delimiter === '' || delimiter === '\\' || delimiter > '~' || /\s/.test(delimiter)) throw this.#unreadable()
    return delimiter
  }

  /** Whether a delimiter in brackets ends the pattern depends on the version of sed. */
  #pattern(delimiter: string): void {
    const start = this.#at
    this.#until(delimiter)
    if (!bracketsAreClosed(this.#script.slice(start, this.#at - 1)))
      throw new Refused(
        `A \`${delimiter}\` in brackets is read differently by different versions of sed.`,
        'Use another delimiter: s|a|b|.',
      )
  }

  #until(delimiter: string): void {
    for (;;) {
      const next = this.#next()
      if (next === '') throw this.#unreadable()
      if (next === delimiter) return
      if (next === '\\') this.#at += 1
    }
  }

  #end(): void {
    this.#skip(/\s/)
    const next = this.#peek()
    if (next === ';') this.#at += 1
    else if (next !== '' && next !== '}' && next !== '#') throw this.#unreadable()
  }

  #peek = (): string => this.#script[this.#at] ?? ''
  #next(): string {
    const next = this.#peek()
    this.#at += 1
    return next
  }
  #skip(what: RegExp): void {
    while (this.#at < this.#script.length && what.test(this.#peek())) this.#at += 1
  }
  #unreadable = (): Refused =>
    new Refused(
      'This sed script is not one that can be seen to read only.',
      "For example: sed -n '10,20p' or sed 's/a/b/g'.",
    )
}
