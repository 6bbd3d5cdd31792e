/** What approvers are told at an address of theirs: once, in full only where the configuration says so, and never the address to anybody else. */
import { createServer } from 'node:http'
import t from 'tap'
import type { AuditEvent } from '../gateway/model/event.ts'
import type { GrantId } from '../gateway/model/grant.ts'
import type { LogEvent } from '../gateway/model/log.ts'
import type { Moment } from '../gateway/model/moment.ts'
import { createNotifier } from '../gateway/notifier.ts'
import { until } from './fixtures/until.ts'

const event = (id: string, details: Readonly<Record<string, unknown>>, more: Partial<AuditEvent> = {}): AuditEvent => ({
  id,
  at: Date.now() as Moment,
  kind: 'grant.requested',
  actor: 'alice',
  grant: '31' as GrantId,
  session: undefined,
  target: 'prod-db',
  text: 'alice asks for operator on prod-db: INC-42',
  details: { approvalsNeeded: 1, role: 'operator', reason: 'INC-42', ...details },
  ...more,
})

const HELD = {
  text: 'update orders set paid = true -- \u202Ehidden\u0007',
  normalised: 'UPDATE orders SET paid = true',
  tables: ['public.orders'],
  estimatedRows: 8000,
  plan: 'Update on orders',
}

async function office(t: { teardown(work: () => unknown): void }, answers: readonly number[] = []) {
  const got: Record<string, unknown>[] = []
  let calls = 0
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const status = answers[calls++] ?? 200
      if (status === 200) got.push(JSON.parse(body) as Record<string, unknown>)
      response.writeHead(status, status === 302 ? { location: 'https://elsewhere.example' } : {}).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const logs: LogEvent[] = []
  const notifier = (details: boolean, at = `http://127.0.0.1:${port}/s3cret`) =>
    createNotifier({
      settings: () => ({ webhook: 'env:WEBHOOK', details }),
      secret: async () => at,
      publicUrl: 'https://gateway.example',
      log: (line) => logs.push(line),
      patienceMs: [10, 10],
    })
  return { got, logs, notifier, calls: () => calls }
}

await t.test('a request for access is told with a link, once', async (t) => {
  const { got, notifier } = await office(t)
  const notify = notifier(false)
  notify(event('a', {}))
  notify(event('a', {}))
  notify(event('b', { approvalsNeeded: 0 }))
  notify(event('c', {}, { kind: 'grant.approved' }))
  notify(event('d', {}, { grant: '32' as GrantId }))
  await until(() => got.length === 2)
  t.equal(got.length, 2, 'neither twice, nor what the rule grants, nor other steps')
  t.same(
    got.find(({ request }) => request === '31'),
    {
      text: 'alice asks for operator on prod-db: INC-42\nhttps://gateway.example/requests/31',
      kind: 'request',
      request: '31',
      person: 'alice',
      target: 'prod-db',
      role: 'operator',
      reason: 'INC-42',
      url: 'https://gateway.example/requests/31',
    },
  )
})

await t.test('a held statement goes along only where the configuration says so', async (t) => {
  const { got, notifier } = await office(t)
  notifier(false)(event('a', HELD))
  await until(() => got.length === 1)
  t.match(got[0], { kind: 'hold' })
  t.notMatch(JSON.stringify(got[0]), /orders/)
  notifier(true)(event('b', HELD))
  await until(() => got.length === 2)
  t.match(got[1], {
    kind: 'hold',
    statement: 'UPDATE orders SET paid = true',
    tables: ['public.orders'],
    estimatedRows: 8000,
    plan: 'Update on orders',
  })
  notifier(true)(event('c', { ...HELD, normalised: undefined }))
  await until(() => got.length === 3)
  t.equal(got[2]?.['statement'], 'update orders set paid = true -- \uFFFDhidden\uFFFD', 'nothing hides in it')
})

await t.test('what does not arrive is tried again, follows nobody, and keeps the address out of the log', async (t) => {
  const { calls, got, logs, notifier } = await office(t, [500, 302, 200])
  notifier(false)(event('a', {}))
  await until(() => got.length === 1)
  t.equal(calls(), 3)
  notifier(false, 'http://chat.example/s3cret')(event('b', {}))
  await until(() => logs.length >= 5)
  t.match(logs.at(-1)?.details, { why: 'the address is not https' })
  t.notMatch(JSON.stringify(logs), /s3cret/)
})
