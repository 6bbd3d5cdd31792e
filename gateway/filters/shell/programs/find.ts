/** find: its expression is read primary by primary; one that is not known to read only is refused. */
import type { Use } from '../rules.ts'
import { hasGlob, headOf, Refused, textOf, type Word } from '../words.ts'
import type { Program } from './program.ts'

const PRIMARIES: ReadonlyMap<string, number> = new Map([
  ...each(
    0,
    'not a and o or true false print print0 ls prune quit depth d daystart mount xdev noleaf follow ignore_readdir_race noignore_readdir_race ' +
      'warn nowarn empty executable readable writable nouser nogroup help -help version -version',
  ),
  ...each(
    1,
    'name iname path ipath wholename iwholename lname ilname regex iregex regextype type xtype size mtime atime ctime mmin amin cmin newer anewer ' +
      'cnewer user group uid gid perm links inum samefile maxdepth mindepth printf fstype used context files0-from',
  ),
])
const REFUSED = /^-(?:exec|ok|delete|fprint|fls)/
const QUOTE_HINT = "Put the pattern into quotes: -name '*.log'."

function each(arity: number, names: string): [string, number][] {
  return names.split(' ').map((name) => [`-${name}`, arity])
}

const startsExpression = (word: Word | undefined): boolean =>
  word !== undefined && /^(?:-|\(|\)|!|,)/.test(headOf(word))

function judge(argv: readonly Word[], use: Use): void {
  let at = 0
  for (; at < argv.length; at++) {
    const text = textOf(argv[at])
    if (text === '-H' || text === '-L' || text === '-P' || (text !== undefined && /^-O[0-3]$/.test(text))) continue
    if (text === '-D') at += 1
    else break
  }
  while (at < argv.length && !startsExpression(argv[at])) at += 1
  for (; at < argv.length; at++) {
    const word = argv[at]
    if (word === undefined) break
    if (hasGlob(word)) throw new Refused('A pattern among the tests of find would be spread by the shell.', QUOTE_HINT)
    const primary = textOf(word)
    if (primary === undefined) throw new Refused('The tests of find must be written out.', QUOTE_HINT)
    if (['(', ')', '!', ',', '--'].includes(primary)) continue
    const arity = PRIMARIES.get(primary) ?? (/^-newer[aBcm][aBcmt]$/.test(primary) ? 1 : undefined)
    if (arity === undefined)
      throw REFUSED.test(primary)
        ? new Refused(
            `find ${primary} is not allowed: it changes files or starts programs.`,
            'Use -print, -ls or -printf.',
          )
        : new Refused(`find: \`${primary}\` is not on the list of tests that only read.`)
    if (!use.flag([primary])) throw new Refused(`Your role's list has no ${primary}.`)
    if (arity === 1) {
      at += 1
      const value = argv[at]
      if (value === undefined) throw new Refused(`find ${primary} needs a value.`)
      if (hasGlob(value))
        throw new Refused('A pattern among the tests of find would be spread by the shell.', QUOTE_HINT)
    }
  }
}

export const find: Program = { name: 'find', reads: false, judge }
