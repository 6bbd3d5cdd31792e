/**
 * Grades a file of masking cases through a running gateway: each by one Query message, and where it is one statement also by
 * Parse, Bind and Execute with binary results and without a Describe. No answer may hold a value that is masked.
 */
import { readFile } from 'node:fs/promises'
import type { MaskRule } from '../../gateway/model/mask.ts'
import { int32 } from '../../gateway/postgres/message.ts'
import { startPostgres } from '../../test/fixtures/postgres.ts'
import { type Answer, refusals, SqlClient, type Step } from './sql-client.ts'
import { loadFixture, TEMPLATE } from './sql-fixture.ts'
import { openCorpusGateway } from './sql-gateway.ts'

type Case = {
  readonly id: string
  readonly sql: string
  readonly verdict: 'allow' | 'deny'
  /** What an allowed case has to show. */
  readonly shows?: readonly string[]
}
type Wrong = { readonly id: string; readonly expected: string; readonly got: string }

const rule = (
  table: string | undefined,
  column: string | undefined,
  kind: MaskRule['kind'],
  schema?: string,
): MaskRule => ({
  schema,
  table,
  column,
  kind,
})
export const CORPUS_MASKS: readonly MaskRule[] = [
  rule('customers', 'email', 'partial'),
  rule('customers', 'phone', 'partial'),
  rule('customers', 'note', 'hash'),
  rule('customers', 'age', 'full'),
  rule('badges', 'badge', 'partial'),
  rule(undefined, 'ssn', 'full'),
  rule('salaries', undefined, 'null', 'hr'),
]
const SECRETS = ['anary', '078-05', '5551', '4711', '98765', ...[4711, 98_765].map((n) => int32(n).toString('latin1'))]

export type MaskedGateway = {
  /** A session under the masks. */
  open(): Promise<SqlClient>
  close(): Promise<void>
}

/** The corpus' database behind a gateway; undefined when there is no such server here. */
export async function openMasked(file: string, version: 15 | 18): Promise<MaskedGateway | undefined> {
  await using opened = new AsyncDisposableStack()
  const server = await startPostgres({ version })
  if (server === undefined) return undefined
  opened.defer(() => server.stop())
  await loadFixture(server, await readFile(file.replace(/\.jsonl$/, '.sql'), 'utf8'))
  const gateway = await openCorpusGateway(server, [''], [TEMPLATE], CORPUS_MASKS)
  opened.defer(() => gateway.close())
  const all = opened.move()
  return {
    open: async () => {
      const database = gateway.name('', TEMPLATE)
      return (await SqlClient.gateway(gateway.port, { user: 'alice', database })).client
    },
    close: () => all.disposeAsync(),
  }
}

/** @returns the cases that went wrong. */
export async function gradeMasks(file: string, gateway: MaskedGateway): Promise<readonly Wrong[]> {
  const wrong: Wrong[] = []
  let client = await gateway.open()
  for (const one of await casesOf(file))
    for (const steps of waysOf(one.sql)) {
      const answers = await client.run(steps, undefined)
      const isClosed = client.closed
      // Several statements leave something behind in the session.
      if (isClosed || one.sql.includes(';') || one.sql.startsWith('prepare')) {
        client.close()
        client = await gateway.open()
      }
      const shown = steps[0]?.[0] === 'Q' ? one : { ...one, shows: [] }
      const got = isClosed ? 'the end of the session' : verdictOf(shown, answers)
      if (got !== one.verdict) wrong.push({ id: one.id, expected: one.verdict, got: `${got} (${steps[0]?.[0]})` })
    }
  client.close()
  return wrong
}

export const casesOf = async (file: string): Promise<readonly Case[]> =>
  (await readFile(file, 'utf8'))
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Case)

const waysOf = (sql: string): readonly (readonly Step[])[] => {
  const simple: readonly Step[] = [['Q', sql]]
  const extended: readonly Step[] = [
    ['P', '', sql],
    ['B', '', '', [], 'binary'],
    ['E', ''],
  ]
  return /;|^copy|\$1/.test(sql) ? [simple] : [simple, extended]
}

/** The first masked value in the answers, with what stands around it. */
export function leaked(answers: readonly Answer[]): string | undefined {
  const said = answers.map(({ body }) => body.toString('latin1')).join('\n')
  const at = SECRETS.map((secret) => said.indexOf(secret)).find((found) => found >= 0)
  return at === undefined ? undefined : said.slice(Math.max(0, at - 20), at + 30)
}

function verdictOf({ shows = [], verdict }: Case, answers: readonly Answer[]): string {
  const said = answers.map(({ body }) => body.toString('latin1')).join('\n')
  const secret = leaked(answers)
  if (secret !== undefined) return `a masked value: …${secret}`
  const [refused] = refusals(answers)
  if (refused !== undefined) return verdict === 'deny' ? 'deny' : `deny: ${refused}`
  const failed = answers.find(({ type }) => type === 'E')
  if (failed !== undefined) return `an error of the server: ${failed.body.toString('latin1')}`
  const hidden = shows.find((text) => !said.includes(text))
  return hidden === undefined ? 'allow' : `no "${hidden}"`
}

/** @returns whether every case got its verdict. */
export async function runMasks(args: readonly string[]): Promise<boolean> {
  const [file = ''] = args
  const wrong: Wrong[] = []
  for (const version of [15, 18] as const) {
    const gateway = await openMasked(file, version)
    if (gateway === undefined) continue
    for (const one of await gradeMasks(file, gateway)) {
      wrong.push(one)
      process.stdout.write(`wrong on ${version}: ${one.id} expected ${one.expected}, got ${one.got}\n`)
    }
    await gateway.close()
  }
  process.stdout.write(`${(await casesOf(file)).length} cases, ${new Set(wrong.map(({ id }) => id)).size} wrong\n`)
  return wrong.length === 0
}
