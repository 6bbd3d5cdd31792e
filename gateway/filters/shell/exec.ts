/** What `ssh target 'command'` may be: one of the file protocols that speak over a pipe, judged by their paths, or a command line. */
import { ALLOW, type Verdict } from '../../model/statement.ts'
import { checkCharacters } from './characters.ts'
import { coversPattern, type FileContext, judgeFile } from './files.ts'
import { judgeCommandLine, type JudgeContext } from './judge.ts'
import { quoteText } from './quoting.ts'
import type { FileRules, ShellRules } from './rules.ts'
import { readTwice } from './second-reading.ts'
import { hasGlob, Refused, type Plan, shown, textOf, type Word } from './words.ts'

export type ExecJudgement =
  | { readonly kind: 'shell'; readonly verdict: Verdict; readonly plan: Plan | undefined }
  /** `line` is the command to send, quoted anew from what was judged; undefined unless allowed. Its bytes are a protocol of their own, not a terminal's. */
  | {
      readonly kind: 'copy'
      readonly protocol: 'scp' | 'rsync'
      readonly direction: 'read' | 'write'
      readonly paths: readonly string[]
      readonly verdict: Verdict
      readonly line: string | undefined
    }
  /** To be served like the subsystem `sftp`: each operation is judged by {@link judgeFile}. */
  | { readonly kind: 'sftp'; readonly verdict: Verdict }

export type ExecRules = { readonly shell: ShellRules; readonly files: FileRules }

const COPIERS = /^\s*(?:\/usr\/bin\/|\/bin\/)?(scp|rsync)\s/
const SFTP = /^\s*(?:\/usr\/(?:lib|libexec)\/(?:openssh|ssh)\/|\/usr\/(?:lib|libexec)\/)?sftp-server\s*$/

export function judgeExec(command: string, rules: ExecRules, context: JudgeContext & FileContext = {}): ExecJudgement {
  if (SFTP.test(command)) return { kind: 'sftp', verdict: ALLOW }
  const protocol = COPIERS.exec(command)?.[1]
  if (protocol !== 'scp' && protocol !== 'rsync')
    return { kind: 'shell', ...judgeCommandLine(command, rules.shell, context) }
  let direction: 'read' | 'write' = 'write'
  try {
    const argv = wordsOf(command)
    const copy = protocol === 'scp' ? scp(argv) : rsync(argv)
    direction = copy.direction
    const paths = copy.paths.map((path) => judgePath(path, copy, rules.files, context))
    const words = paths.map(({ sent }) => sent)
    return {
      kind: 'copy',
      protocol,
      direction,
      paths: paths.map(({ path }) => path),
      verdict: ALLOW,
      line: [...copy.line.map(quoteText), ...words].join(' '),
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const next = error.next === undefined ? {} : { next: error.next }
    return {
      kind: 'copy',
      protocol,
      direction,
      paths: [],
      verdict: { decision: 'deny', reason: error.message, ...next },
      line: undefined,
    }
  }
}

type Copy = {
  readonly direction: 'read' | 'write'
  readonly isTree: boolean
  /** Program and options, in front of the paths. */
  readonly line: readonly string[]
  readonly paths: readonly Word[]
}

function wordsOf(command: string): readonly Word[] {
  checkCharacters(command)
  const [pipeline, otherPipeline] = readTwice(command)
  const [simple, other] = pipeline?.commands ?? []
  if (otherPipeline !== undefined || other !== undefined || simple === undefined || simple.redirections.length > 0)
    throw new Refused('A file copy must be the whole command.')
  return simple.words.slice(1)
}

/** `scp [-v] [-r] [-p] [-d] -f|-t path…`: what scp -O starts on the other side. */
function scp(argv: readonly Word[]): Copy {
  const letters = new Set<string>()
  let at = 0
  for (; at < argv.length; at++) {
    const text = textOf(argv[at])
    if (text === '--') {
      at += 1
      break
    }
    if (text === undefined || !text.startsWith('-')) break
    if (!/^-[vrpdft]+$/.test(text)) throw new Refused(`scp ${text} is not allowed.`)
    for (const letter of text.slice(1)) letters.add(letter)
  }
  const paths = argv.slice(at)
  if (letters.has('f') === letters.has('t') || paths.length === 0)
    throw new Refused(
      'scp may only be the other side of a copy (-f or -t).',
      'Copy from your own machine: scp -O gateway:path .',
    )
  return {
    direction: letters.has('f') ? 'read' : 'write',
    isTree: letters.has('r'),
    line: ['scp', ...[...letters].map((letter) => `-${letter}`), '--'],
    paths,
  }
}

/** Without L and k: they would follow links out of what may be read. */
const RSYNC_LETTERS = /^-[vlogDtprcCzHAXnuixWKmhOJUNSRd0-9]*(?:e\d*\.[A-Za-z]*\d*)?$/
const RSYNC_LONG =
  /^--(?:numeric-ids|list-only|no-implied-dirs|no-r|no-i-r|one-file-system|timeout=\d+|bwlimit=\d+[kKmM]?|compress-level=\d|checksum-choice=[\w,]+|compress-choice=\w+|modify-window=-?\d+|block-size=\d+|protocol=\d+|max-size=\d+[kKmMgG]?|min-size=\d+[kKmMgG]?|iconv=[\w.,-]+|open-noatime|stats|links|perms|times|owner|group|devices|specials)$/

/** `rsync --server --sender -vlogDtpre.iLsfxCIvu . path…`: the side that is read from. */
function rsync(argv: readonly Word[]): Copy {
  const text = (at: number) => textOf(argv[at])
  if (text(0) !== '--server')
    throw new Refused('rsync may only be the other side of a copy (--server).', 'Start rsync on your own machine.')
  const isSender = text(1) === '--sender'
  let at = isSender ? 2 : 1
  const options: string[] = []
  for (; text(at) !== '.'; at++) {
    const option = text(at)
    if (option === undefined) throw new Refused('This is not how rsync starts its other side.')
    if (!RSYNC_LETTERS.test(option) && !RSYNC_LONG.test(option))
      throw new Refused(
        `rsync ${option} is not on the list of options that only copy.`,
        option.includes('s') ? 'Try without --secluded-args (-s).' : undefined,
      )
    options.push(option)
  }
  const paths = argv.slice(at + 1)
  if (paths.length === 0) throw new Refused('rsync must say which files.')
  return {
    direction: isSender ? 'read' : 'write',
    isTree: true,
    line: ['rsync', '--server', ...(isSender ? ['--sender'] : []), ...options, '.'],
    paths,
  }
}

function judgePath(
  word: Word,
  copy: Copy,
  rules: FileRules,
  context: FileContext,
): { readonly path: string; readonly sent: string } {
  const asked = shown(word)
  if (word.parts.some((part) => 'variable' in part)) throw new Refused('Paths of a copy must be written out.')
  const isPattern = hasGlob(word)
  const judged = judgeFile(copy.direction, asked, rules, { ...context, isTree: copy.isTree })
  const { path } = judged
  if (isPattern && copy.direction === 'write')
    throw new Refused('A copy goes to one place; patterns are not allowed there.')
  throwUnlessAllowed(isPattern ? coversPattern(path, rules, context).verdict : judged.verdict)
  const slash = asked.endsWith('/') && path !== '/' ? '/' : ''
  return { path, sent: isPattern ? patternAt(word, path) : quoteText(path + slash) }
}

/** The pattern again, on the plain path: literal characters quoted one by one. */
function patternAt(word: Word, path: string): string {
  if (word.parts.some((part) => 'literal' in part && /[*?[\]]/.test(part.literal)))
    throw new Refused('A path with quoted pattern characters is not allowed here.')
  return path.replaceAll(/[^\w*?[\]!^./-]/g, (sign) => `\\${sign}`)
}

function throwUnlessAllowed(verdict: Verdict): void {
  if (verdict.decision !== 'allow') throw new Refused(verdict.reason, 'next' in verdict ? verdict.next : undefined)
}
