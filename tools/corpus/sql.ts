/** Grades a file of SQL cases: each goes through a running gateway to a real server, and what it did there is looked at. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { startPostgres } from '../../test/fixtures/postgres.ts'
import { type Answer, refusals, SqlClient, type Step, told } from './sql-client.ts'
import { loadFixture } from './sql-fixture.ts'
import { type CorpusGateway, openCorpusGateway } from './sql-gateway.ts'
import { Laboratory } from './sql-state.ts'

type Case = {
  readonly id: string
  readonly sql: string
  readonly verdict: 'allow' | 'deny'
  readonly pre?: readonly string[]
  readonly startup?: Readonly<Record<string, string>>
  readonly messages?: readonly Step[]
  readonly copyin?: string
  readonly needs?: string
  readonly pass_if?: string
}

type Wrong = { readonly id: string; readonly expected: string; readonly got: string; readonly server: number }

const GUARD = { default_transaction_read_only: 'on', standard_conforming_strings: 'on' }
const PROBE =
  "SELECT pg_catalog.current_setting('default_transaction_read_only'), pg_catalog.current_setting('transaction_read_only')"

/** @returns whether every case got its verdict. */
export async function gradeSql(args: readonly string[]): Promise<boolean> {
  const json = args.includes('--json')
  const only = args[args.indexOf('--server') + 1]
  const file = args.find((arg, at) => !arg.startsWith('--') && args[at - 1] !== '--server') ?? ''
  const versions = args.includes('--server') ? [Number(only)] : [15, 18]
  const cases = (await readFile(file, 'utf8'))
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Case)
  const say = (line: string) => void (json ? process.stderr : process.stdout).write(`${line}\n`)
  const more = file.replace(/\.jsonl$/, '.sql')
  const extra = existsSync(more) ? await readFile(more, 'utf8') : ''
  const wrong: Wrong[] = []
  let graded = 0
  for (const version of versions) {
    if (version !== 15 && version !== 18) throw new Error('--server 15 or 18')
    const found = await gradeOn(version, cases, extra, say)
    if (found === undefined) say(`PostgreSQL ${version} is not here.`)
    else {
      graded += 1
      wrong.push(...found)
    }
  }
  if (graded === 0) throw new Error('there is no PostgreSQL server to grade with')
  const byId = [...new Map(wrong.toReversed().map((entry) => [entry.id, entry])).values()].toReversed()
  for (const { id, expected, got, server } of wrong) say(`wrong on ${server}: ${id} expected ${expected}, got ${got}`)
  say(`${cases.length} cases, ${byId.length} wrong`)
  if (json) process.stdout.write(`${JSON.stringify({ cases: cases.length, wrong: byId })}\n`)
  return byId.length === 0
}

async function gradeOn(
  version: 15 | 18,
  cases: readonly Case[],
  extra: string,
  say: (line: string) => void,
): Promise<readonly Wrong[] | undefined> {
  await using opened = new AsyncDisposableStack()
  const server = await startPostgres({
    version,
    settings: { autovacuum: 'off', max_prepared_transactions: '5', wal_level: 'logical' },
  })
  if (server === undefined) return undefined
  opened.defer(() => server.stop())
  await loadFixture(server, extra)
  const laboratory = await Laboratory.open(server)
  opened.defer(() => laboratory.close())
  const needs = [...new Set(['', ...cases.map((c) => c.needs ?? '')])]
  const databases = Array.from({ length: cases.length + 1 }, (_, at) => `case_${at + 1}`)
  const gateway = await openCorpusGateway(server, needs, databases)
  opened.defer(() => gateway.close())
  const wrong: Wrong[] = []
  for (const [at, one] of cases.entries()) {
    const got = await new Trial(laboratory, gateway, one).run().catch(async (failure: unknown) => {
      await laboratory.renew()
      return `no answer (${failure instanceof Error ? failure.message : 'failed'})`
    })
    if (got !== one.verdict) wrong.push({ id: one.id, expected: one.verdict, got, server: version })
    if ((at + 1) % 50 === 0) say(`PostgreSQL ${version}: ${at + 1} of ${cases.length}, ${wrong.length} wrong`)
  }
  return wrong
}

class Trial {
  readonly #laboratory: Laboratory
  readonly #gateway: CorpusGateway
  readonly #case: Case

  constructor(laboratory: Laboratory, gateway: CorpusGateway, one: Case) {
    this.#laboratory = laboratory
    this.#gateway = gateway
    this.#case = one
  }

  /** The verdict it got, or what went wrong with it. */
  async run(): Promise<string> {
    const before = await this.#laboratory.fingerprint()
    const { refused, writable, answers, after } = await this.#throughGateway()
    const isChanged = after !== before
    if (isChanged) await this.#laboratory.renew()
    if (this.#case.verdict === 'deny') {
      if (writable) return 'a session that can write'
      if (isChanged) return 'a change of state'
      return refused.length > 0 || this.#case.pass_if === 'denied_or_guard_intact' ? 'deny' : 'allow'
    }
    if (refused.length > 0) return `deny (${refused[0]})`
    return this.#isAsDirect(answers)
  }

  async #throughGateway() {
    const { startup = {}, needs = '' } = this.#case
    const database = this.#gateway.name(needs, this.#laboratory.database)
    const { client, answers: greeting } = await SqlClient.gateway(this.#gateway.port, {
      user: 'alice',
      database,
      ...startup,
    })
    try {
      const refused = [...refusals(greeting)]
      const answers = client.closed ? [] : await this.#play(client)
      refused.push(...refusals(answers))
      const writable = await isWritable(client)
      return { refused, writable, answers, after: await this.#laboratory.fingerprint() }
    } finally {
      client.close()
    }
  }

  async #play(client: SqlClient): Promise<readonly Answer[]> {
    const { sql, pre = [], messages, copyin } = this.#case
    const answers: Answer[] = []
    for (const text of pre) answers.push(...(await client.query(text)))
    const steps: readonly Step[] = messages ?? [
      ['Q', sql],
      ...(copyin === undefined ? [] : ([['d', copyin], ['c']] as const)),
    ]
    answers.push(...(await client.run(steps, (name) => this.#laboratory.oid(name))))
    return answers
  }

  /** Twice: what differs between two direct runs differs by nature, and only its shape is compared. */
  async #isAsDirect(answers: readonly Answer[]): Promise<string> {
    const first = await this.#direct()
    if (told(answers) === told(first)) return 'allow'
    const second = await this.#direct()
    if (told(first) === told(second) && !isAboutSessions(this.#case.sql)) return `another answer than the server's own`
    return told(answers, false) === told(second, false) ? 'allow' : `an answer of another shape than the server's own`
  }

  async #direct(): Promise<readonly Answer[]> {
    const client = await SqlClient.direct(
      this.#laboratory.login('app_rw', undefined, { ...this.#case.startup, ...GUARD }),
    )
    try {
      return await this.#play(client)
    } finally {
      client.close()
    }
  }
}

/** Who is connected is not the same for two connections. */
const isAboutSessions = (sql: string): boolean => /pg_stat_|pg_locks|pg_backend_pid|snapshot|wal_/.test(sql)

/** Whether the session could write now or in its next transaction, whatever the gateway thinks of the statement. */
async function isWritable(client: SqlClient): Promise<boolean> {
  if (client.closed) return false
  const settings = async () =>
    (await client.query(PROBE)).find(({ type }) => type === 'D')?.body.toString('latin1') ?? 'failed'
  const now = await settings()
  await client.query('ROLLBACK')
  const next = client.closed ? '' : await settings()
  return [now, next].some((row) => row.includes('off'))
}
