/** What a configuration names and this machine does not have: files, and variables behind references to secrets. */
import { accessSync, constants, readFileSync } from 'node:fs'
import { isScalar, LineCounter, parseDocument, visit } from 'yaml'
import { withEnvironment } from './environment.ts'

/** Keys whose values are paths of files that are read at the start, or when somebody connects. */
const PATHS: ReadonlySet<string> = new Set(['certificate', 'key', 'known_hosts', 'ca'])

/**
 * One line each, `file:line:column: what`. They are no mistakes of the file: it may be checked elsewhere than where it is used.
 * Also of a configuration that is not a good one; a file that cannot be read has none.
 */
export function absentHere(file: string, env: NodeJS.ProcessEnv): readonly string[] {
  if (!isReadable(file)) return []
  const lines = new LineCounter()
  const document = parseDocument(readFileSync(file, 'utf8'), { lineCounter: lines, prettyErrors: false })
  const found: string[] = []
  visit(document, {
    Scalar(key, node, ancestors) {
      if (key === 'key' || typeof node.value !== 'string') return
      const { value: text, missing } = withEnvironment(node.value, env)
      // The configuration is refused for those, each at its place.
      if (missing.length > 0) return
      const holder = ancestors.findLast((one) => typeof one === 'object' && 'key' in one)
      const name = holder !== undefined && 'key' in holder && isScalar(holder.key) ? String(holder.key.value) : ''
      const what = absence(String(text), PATHS.has(name), env)
      if (what === undefined || node.range === undefined || node.range === null) return
      const { col, line } = lines.linePos(node.range[0])
      found.push(`${file}:${line}:${col}: ${name}: ${what}`)
    },
  })
  return found
}

function absence(text: string, isPath: boolean, env: NodeJS.ProcessEnv): string | undefined {
  const [, scheme, rest = ''] = /^(env|file):(.+)$/.exec(text) ?? []
  if (scheme === 'env') return (env[rest] ?? '') === '' ? `the environment variable ${rest} is not set here` : undefined
  const path = scheme === 'file' ? rest : isPath && text.startsWith('/') ? text : undefined
  return path === undefined || isReadable(path) ? undefined : `${path} is not there, or cannot be read from here`
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch {
    return false
  }
}
