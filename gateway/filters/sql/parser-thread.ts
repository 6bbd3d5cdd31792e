/** The thread behind parser.ts: reads one text at a time, and is thrown away when it fails in any way but a syntax error. */
import { parentPort } from 'node:worker_threads'
import { loadModule } from 'libpg-query'
import { type Parsed, parseNow, TOO_MUCH } from './grammar.ts'
import type { ThreadAnswer } from './parser.ts'
import { pruned } from './prune.ts'

/** The walk, and reading this on the other side, must not hold up the event loop there. */
const MAX_JSON = 8 * 1024 * 1024

const say = (answer: ThreadAnswer): void => parentPort?.postMessage(answer)

function read(text: string): ThreadAnswer {
  const { parsed, isSound } = parseNow(text)
  const light: Parsed = 'failure' in parsed ? parsed : { ...parsed, statements: parsed.statements.map(pruned) }
  const json = JSON.stringify(light)
  return { kind: 'parsed', json: json.length > MAX_JSON ? JSON.stringify({ failure: TOO_MUCH }) : json, isSound }
}

await loadModule()
parentPort?.on('message', (text: string) => say(read(text)))
say({ kind: 'ready' })
