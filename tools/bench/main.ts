/** `npm run bench -- NAME [--json]`: each door against what a user would pick instead, in alternating runs on this machine, as ratios. */
import { parseArgs } from 'node:util'

const BENCHES: Readonly<
  Record<string, () => Promise<{ run(say: (line: string) => void, quick: boolean): Promise<object> }>>
> = {
  ssh: () => import('./ssh.ts'),
  recorder: () => import('./recorder.ts'),
  postgres: () => import('./postgres.ts'),
  http: () => import('./http.ts'),
  filters: () => import('./filters.ts'),
  console: () => import('./console.ts'),
}
const USAGE = `Usage: npm run bench -- NAME [--json] [--quick]

  NAME      ${Object.keys(BENCHES).join(' | ')}
  --json    print one object with the figures and nothing else
  --quick   fewer and shorter runs: a look, not a result

Figures are ratios of alternating runs on one machine; never compare figures of two machines.`

const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean' }, quick: { type: 'boolean' }, help: { type: 'boolean' } },
  allowPositionals: true,
})
const load = BENCHES[positionals[0] ?? '']
if (values.help === true || load === undefined) {
  process.stderr.write(`${USAGE}\n`)
  process.exit(values.help === true ? 0 : 2)
}
const say = (line: string): void => {
  if (values.json !== true) process.stderr.write(`${line}\n`)
}
const figures = await (await load()).run(say, values.quick === true)
process.stdout.write(`${JSON.stringify(figures, null, values.json === true ? undefined : 2)}\n`)
process.exit(0)
