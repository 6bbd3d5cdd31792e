/** awk: its program is read word by word; commands, pipes, files to write or to read, and functions that are not known are refused. */
import { flags, readOptions } from '../options.ts'
import { headOf, Refused, textOf, type Word } from '../words.ts'
import { type AwkWord, awkWords } from './awk-words.ts'
import type { Program } from './program.ts'

const FLAGS = flags('F,field-separator= v,assign= version')
const REFUSED = flags(
  'f,file= i,include= l,load= e,source= E,exec= o,pretty-print? p,profile? d,dump-variables? D,debug? W= S,sandbox',
)

const FUNCTIONS = new Set(
  (
    'length substr index split sub gsub match sprintf tolower toupper sin cos atan2 exp log sqrt int rand srand gensub strftime systime mktime ' +
    'asort asorti patsplit strtonum and or xor compl lshift rshift typeof isarray close fflush'
  ).split(' '),
)
const STATEMENTS = new Set('if while for switch print printf return exit in do else delete function func'.split(' '))
const FORBIDDEN: ReadonlyMap<string, string> = new Map(
  Object.entries({
    system: 'it runs a command',
    getline: 'it reads other files and commands',
    ARGV: 'it names other files',
    ARGC: 'it names other files',
    SYMTAB: 'it reaches every variable',
    FUNCTAB: 'it reaches every function',
    extension: 'it loads a library',
  }),
)

export const awk: Program = {
  name: 'awk',
  judge: (argv, use) => {
    const { given, operands } = readOptions(argv, {
      known: FLAGS,
      refused: REFUSED,
      because: 'the whole program must stand in the line',
      shortens: false,
      stopsAtOperand: true,
      allows: use.flag,
    })
    for (const { flag, head } of given) if (flag.names.includes('-v')) checkAssignment(head)
    const [program, ...files] = operands
    if (program === undefined) {
      if (given.some(({ flag }) => flag.names.includes('--version'))) return
      throw new Refused('awk needs a program.')
    }
    const text = textOf(program)
    if (text === undefined)
      throw new Refused(
        'The program of awk must be written out, without patterns or variables.',
        'Put it into single quotes.',
      )
    checkAwkProgram(text)
    for (const file of files) checkFile(file)
  },
}

/** The value may be anything; the name may not. */
function checkAssignment(head: string): void {
  const name = /^([A-Za-z_][A-Za-z0-9_]*)=/.exec(head)?.[1]
  if (name === undefined) throw new Refused('-v takes name=value, written out.', "awk -v n=3 '…'")
  const reason = FORBIDDEN.get(name)
  if (reason !== undefined) throw new Refused(`awk may not set ${name}: ${reason}.`)
}

function checkFile(file: Word): void {
  const head = headOf(file)
  if (/^[A-Za-z_][A-Za-z0-9_]*=/.test(head)) checkAssignment(head)
  else if (/^\/+inet/.test(head)) throw new Refused('awk would open a network connection under this name.')
}

/** @throws {Refused} */
export function checkAwkProgram(program: string): void {
  const words = awkWords(program)
  const own = new Set<string>()
  words.forEach((word, n) => {
    const before = words[n - 1]
    if (word.kind === 'name' && (before?.text === 'function' || before?.text === 'func')) own.add(word.text)
  })
  /** Depth of parentheses within a print statement; undefined outside of one. */
  let printing: number | undefined
  words.forEach((word, n) => {
    if (word.kind === 'name') {
      checkName(word.text, words[n + 1], own)
      if (word.text === 'print' || word.text === 'printf') printing = 0
    }
    if (word.kind !== 'sign' && word.kind !== 'close') return
    const { text } = word
    if (text === '|' || text === '|&')
      throw new Refused('Pipes inside an awk program are not allowed.', 'Use | between commands of the line.')
    if (text === '>>') throw new Refused('Writing to files from awk is not allowed.')
    if (printing === undefined) return
    if (text === '(') printing += 1
    else if (text === ')') printing -= 1
    else if (text === ';' || text === '}' || text === '{') printing = undefined
    else if (text === '>' && printing <= 0)
      throw new Refused(
        'print > writes a file; that is not allowed.',
        'Put a comparison into parentheses: print ($1 > 5).',
      )
  })
}

function checkName(name: string, next: AwkWord | undefined, own: ReadonlySet<string>): void {
  const reason = FORBIDDEN.get(name)
  if (reason !== undefined) throw new Refused(`awk's ${name} is not allowed: ${reason}.`)
  if (next?.text === '(' && !FUNCTIONS.has(name) && !STATEMENTS.has(name) && !own.has(name) && !/^[A-Z]+$/.test(name))
    throw new Refused(`awk's function ${name} is not on the list of functions that only read.`)
}
