/** Which files a role may read and write: globs over paths that were made plain first. The plain path is the one to send on. */
import { ALLOW, type Verdict } from '../../model/statement.ts'
import type { FileRules } from './rules.ts'

export type FileOperation =
  | 'read'
  | 'list'
  | 'stat'
  | 'write'
  | 'remove'
  | 'rename'
  | 'mkdir'
  | 'rmdir'
  | 'setstat'
  | 'link'
  | 'other'

export type FileJudgement = {
  readonly verdict: Verdict
  /** Absolute, without `.`, `..` and doubled slashes: what was judged, and what must be sent instead of what was asked. */
  readonly path: string
}

export type FileContext = {
  /** What a relative path starts from: the home directory of the account. */
  readonly home?: string
  /** The operation takes everything below as well (`scp -r`, rsync). */
  readonly isTree?: boolean
}

const MAX_PATH = 4096
const READING: readonly FileOperation[] = ['read', 'list', 'stat']

/**
 * Judges names, not what they lead to: a link below an allowed directory is followed by the target. Where that matters, use a workspace.
 * Two paths (rename, link) are two calls.
 */
export function judgeFile(
  operation: FileOperation,
  path: string,
  rules: FileRules,
  context: FileContext = {},
): FileJudgement {
  const refuse = (reason: string, plain = path): FileJudgement => ({
    verdict: { decision: 'deny', reason },
    path: plain,
  })
  if (/\p{Cc}/u.test(path)) return refuse('A path with control characters in it is not allowed.')
  if (path.length > MAX_PATH) return refuse(`A path may have ${MAX_PATH} characters at most.`)
  const isRelative = !path.startsWith('/')
  const start = path === '~' || path.startsWith('~/') ? path.slice(2) : path
  if (isRelative && context.home === undefined) return refuse('Write the whole path, from / on.')
  const plain = plainPath(isRelative ? `${context.home ?? ''}/${start}` : path)
  const isReading = READING.includes(operation)
  if (rules.deny?.some((glob) => covers(glob, plain, false) || (context.isTree && reachesInto(glob, plain))))
    return refuse(`${plain} is denied by your role's rules.`, plain)
  const lists = isReading && operation !== 'read' ? [rules.read, rules.write] : [isReading ? rules.read : rules.write]
  if (lists.some((globs) => globs.some((glob) => covers(glob, plain, context.isTree === true))))
    return { verdict: ALLOW, path: plain }
  const allowed = isReading ? rules.read : rules.write
  const verb = isReading ? 'read' : 'written'
  return refuse(
    allowed.length === 0
      ? `Your role allows no files to be ${verb}.`
      : `${plain} may not be ${verb}; your role allows ${allowed.join(', ')}.`,
    plain,
  )
}

/** Whether every path that a pattern can become is covered; patterns are only judged by the directory that they stay in. */
export function coversPattern(pattern: string, rules: FileRules, context: FileContext): FileJudgement {
  const slash = pattern.search(/[*?[]/)
  const directory = pattern.slice(0, pattern.lastIndexOf('/', slash) + 1) || '.'
  return judgeFile('read', directory, rules, { ...context, isTree: true })
}

export function plainPath(path: string): string {
  const names: string[] = []
  for (const name of path.split('/'))
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  return `/${names.join('/')}`
}

function covers(glob: string, path: string, isTree: boolean): boolean {
  if (isTree && !glob.endsWith('/**')) return false
  return expression(glob).test(path)
}

/** A tree that holds something denied is denied. */
function reachesInto(glob: string, path: string): boolean {
  const literal = glob.slice(0, glob.search(/[*?]|$/))
  return literal.startsWith(path === '/' ? '/' : `${path}/`) || glob.startsWith('**')
}

/** `/var/log/**` is the directory itself and everything below. */
function expression(glob: string): RegExp {
  const source = glob
    .split(/(\/\*\*$|\*\*\/|\*\*|\*|\?)/)
    .map((piece) =>
      piece === '/**'
        ? '(?:/.*)?'
        : piece === '**/'
          ? '(?:.*/)?'
          : piece === '**'
            ? '.*'
            : piece === '*'
              ? '[^/]*'
              : piece === '?'
                ? '[^/]'
                : piece.replaceAll(/[^\w/]/g, (sign) => `\\${sign}`),
    )
    .join('')
  return new RegExp(`^${source}$`, 'su')
}
