/**
 * The second reading: a full bash grammar (unbash) reads the same line, and must see the same commands, words and redirections
 * in the same places as the strict reading did. Where two grammars differ, a third one, the shell's, might too.
 */
import { type Command, type PipelineNode, parse } from 'unbash'
import { type Pipeline, read, type SimpleCommand } from './reading.ts'
import { Refused } from './words.ts'

/** @throws {Refused} for what is beyond the subset, and when the readings differ. */
export function readTwice(line: string): readonly Pipeline[] {
  const pipelines = read(line)
  const ours = pipelines.map(({ join, commands }) => join + commands.map(ourOutline).join('|')).join('')
  if (ours !== theirOutline(line))
    throw new Refused('This line can be read in more than one way.', 'Put quotes around what is only text.')
  return pipelines
}

const ourOutline = ({ spans, redirections }: SimpleCommand): string =>
  `${spans.map(([start, end]) => `${start}-${end}`).join(',')}${redirections.join(',')}`

/** Undefined when there is anything in the tree that the subset does not have. */
function theirOutline(line: string): string | undefined {
  let script: ReturnType<typeof parse>
  try {
    script = parse(line)
  } catch {
    return undefined
  }
  if (script.errors !== undefined && script.errors.length > 0) return undefined
  let outline = ''
  for (const { command, background } of script.commands) {
    if (background) return undefined
    const pipelines = command.type === 'AndOr' ? command.commands : [command]
    for (const [n, node] of pipelines.entries()) {
      const pipeline = pipelineOutline(node)
      if (pipeline === undefined) return undefined
      outline += (n > 0 && command.type === 'AndOr' ? command.operators[n - 1] : ';') + pipeline
    }
  }
  return outline
}

function pipelineOutline(node: PipelineNode): string | undefined {
  if (node.type === 'Command') return commandOutline(node)
  if (node.type !== 'Pipeline' || node.prefixes.length > 0) return undefined
  if (node.operators.some((operator) => operator !== '|')) return undefined
  const outlines = node.commands.map((child) => (child.type === 'Command' ? commandOutline(child) : undefined))
  return outlines.includes(undefined) ? undefined : outlines.join('|')
}

function commandOutline({ prefix, name, suffix }: Command): string | undefined {
  const words: string[] = []
  const redirections: string[] = []
  for (const item of [...prefix, name, ...suffix])
    if (item?.type === 'Word') words.push(`${item.pos}-${item.end}`)
    else if (item?.type !== 'Redirect' || item.descriptor?.type === 'FileDescriptorVariable') return undefined
    else redirections.push(`${item.descriptor?.value ?? ''}${item.operator}${item.target?.text ?? ''}`)
  return `${words.join(',')}${redirections.join(',')}`
}
