/** The thread behind parser.ts: reads one text at a time, and is thrown away when it fails in any way but a syntax error. */
import { parentPort } from 'node:worker_threads'
import { loadModule } from 'libpg-query'
import { parseNow } from './parser.ts'

await loadModule()
parentPort?.on('message', (text: string) => parentPort?.postMessage(parseNow(text)))
