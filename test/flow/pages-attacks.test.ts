/** The sockets and files of our pages, attacked from outside the pages: the SQL console's line, downloads with hostile names and content, the webhook. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { WebSocket } from 'ws'
import { parseDocument } from 'yaml'
import { type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'
import { csrfOf, pageSocket } from '../fixtures/web-terminal.ts'

const MEGABYTE = 2 ** 20

function flood(response: ServerResponse): void {
  response.writeHead(200)
  const more = () => {
    while (!response.destroyed && response.write(Buffer.alloc(MEGABYTE)));
  }
  response.on('drain', more)
  more()
}

type Message = { readonly kind: string; readonly text?: string; readonly code?: string; readonly id?: number }
type Line = { readonly socket: WebSocket; readonly messages: Message[]; readonly closed: Promise<number> }

if (!existsSync('/usr/bin/ssh') || !existsSync('/usr/sbin/sshd')) t.plan(0, 'no OpenSSH client or sshd here')
else {
  t.setTimeout(150_000)
  const demo = await startDemo(t)
  const { https, dataDir } = demo.report
  const origin = https.url
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => demo.person(name)) as [
    DemoPerson,
    DemoPerson,
    DemoPerson,
  ]
  for (const who of [alice, bob, carol]) await who.visit()
  const granted = async (target: string, role: string): Promise<string> => {
    const asked = await alice.browser.api(origin, 'POST', '/requests', { target, role, reason: 'an attack' })
    const { id, state } = asked.json() as { readonly id: string; readonly state: string }
    if (state === 'requested') await bob.browser.api(origin, 'POST', `/requests/${id}/approve`, {})
    return id
  }
  const line = async (
    hello: object = {},
    options: Parameters<typeof pageSocket>[3] = {},
    person = alice,
  ): Promise<Line> => {
    const csrf = await csrfOf(person.browser, origin)
    const socket = pageSocket(person.browser, origin, '/api/v1/sql', options)
    t.teardown(() => socket.terminate())
    const messages: Message[] = []
    socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString('utf8')) as Message))
    const closed = new Promise<number>((resolve) => socket.once('close', resolve))
    await new Promise<void>((resolve, reject) => {
      socket.once('open', () => resolve())
      socket.once('unexpected-response', (_, response: IncomingMessage) =>
        reject(new Error(`status ${response.statusCode}`)),
      )
      socket.once('error', reject)
    })
    socket.on('error', () => undefined)
    socket.send(JSON.stringify({ kind: 'open', target: 'prod-db', csrf, ...hello }))
    return { socket, messages, closed }
  }
  const heard = (on: Line, kind: string) => until(() => on.messages.some((m) => m.kind === kind), kind)
  const hasDatabase = demo.report.postgres.port !== null

  await t.test(
    'the SQL console: no page of another origin, no stranger, no page without the token',
    { skip: !hasDatabase && 'no PostgreSQL' },
    async (t) => {
      const strangers: readonly (readonly [number, Parameters<typeof pageSocket>[3]])[] = [
        [403, { origin: 'https://evil.example' }],
        [403, { origin: origin.replace('localhost', 'prod-web.apps.localhost') }],
        [403, { origin: 'null' }],
        [403, { headers: { 'sec-fetch-site': 'cross-site' } }],
        [403, { headers: { 'sec-fetch-site': 'same-site' } }],
        [401, { headers: { cookie: '__Host-sallyport=x' } }],
      ]
      for (const [status, how] of strangers)
        await t.rejects(line({}, how), { message: `status ${status}` }, JSON.stringify(how))
      t.equal(await (await line({ csrf: 'wrong' })).closed, 1008)
      t.equal(await (await line({ csrf: await csrfOf(bob.browser, origin) })).closed, 1008, 'somebody else’s')
    },
  )

  await t.test(
    'frames that are no messages of a page end the line and nothing else',
    { skip: !hasDatabase && 'no PostgreSQL' },
    async (t) => {
      await granted('prod-db', 'readonly')
      const rubbish: Record<string, (socket: WebSocket) => void> = {
        bytes: (socket) => socket.send(Buffer.from('{"kind":"cancel"}')),
        'no JSON': (socket) => socket.send('{'),
        'another kind': (socket) => socket.send('{"kind":"shutdown"}'),
        'a member too many': (socket) => socket.send('{"kind":"cancel","more":1}'),
        'a negative count': (socket) => socket.send('{"kind":"taken","batches":-5}'),
        'a prototype': (socket) => socket.send('{"__proto__":{"kind":"cancel"}}'),
        deep: (socket) => socket.send(`${'['.repeat(100_000)}${']'.repeat(100_000)}`),
        'four megabytes': (socket) => socket.send('x'.repeat(4 * MEGABYTE)),
        'four megabytes in a thousand pieces': (socket) => {
          for (let n = 0; n < 1000; n += 1) socket.send('x'.repeat(4 * 1024), { fin: n === 999 })
        },
        'no frame at all': (socket) => (Reflect.get(socket, '_socket') as Socket).write(Buffer.alloc(64, 0xff)),
      }
      for (const [what, send] of Object.entries(rubbish)) {
        const one = await line()
        await heard(one, 'opened')
        send(one.socket)
        t.ok([1002, 1006, 1008, 1009].includes(await one.closed), what)
      }
      const fine = await line()
      await heard(fine, 'opened')
      const run = JSON.stringify({ kind: 'run', id: 1, sql: 'select 41 + 1', form: 'rows' })
      for (let at = 0; at < run.length; at += 1) fine.socket.send(run.slice(at, at + 1), { fin: at === run.length - 1 })
      await heard(fine, 'complete')
      fine.socket.close()
    },
  )

  await t.test(
    'a page that takes nothing fills no memory, also by what was not asked for',
    { skip: !hasDatabase && 'no PostgreSQL' },
    async (t) => {
      await granted('prod-db', 'operator')
      const deaf = await line({ under: 'operator' })
      await heard(deaf, 'opened')
      const wire = Reflect.get(deaf.socket, '_socket') as Socket
      const loop = "do $$ begin for i in 1..4000 loop raise notice '%', repeat('x', 50000); end loop; end $$"
      const before = wire.bytesRead
      wire.pause()
      deaf.socket.send(JSON.stringify({ kind: 'run', id: 1, sql: loop, form: 'rows' }))
      await until(async () => {
        const { text } = await bob.browser.api(origin, 'GET', '/sessions?live=true')
        return !text.includes('"role":"operator"')
      }, 'its session is over')
      wire.resume()
      t.equal(await deaf.closed, 1006)
      t.ok(wire.bytesRead - before < 60 * MEGABYTE, `${wire.bytesRead - before} bytes of 200 MB were kept for it`)
    },
  )

  await t.test(
    'after a sign-out its lines end, and the old cookie opens none',
    { skip: !hasDatabase && 'no PostgreSQL' },
    async (t) => {
      const one = await line({ under: 'readonly' })
      await heard(one, 'opened')
      const old = `__Host-sallyport=${alice.browser.cookie('localhost', '__Host-sallyport')?.value}`
      await alice.browser.api(origin, 'POST', '/sign-out', {})
      await one.closed
      t.match(one.messages.at(-1), { kind: 'ended', text: /signed out/ })
      await alice.visit()
      await t.rejects(line({}, { headers: { cookie: old } }), { message: 'status 401' })
    },
  )

  await t.test('files and recordings are never pages, whatever their names and contents say', async (t) => {
    await granted('prod-web', 'operator')
    const folder = join(dataDir, 'hostile')
    mkdirSync(folder, { recursive: true })
    const html = '<!doctype html><script>document.title="pwned"</script>'
    const names = [
      'page.html',
      'a"; filename="b.html',
      "x'y\\z.svg",
      '名 .html',
      '..html',
      'a;b=c.html',
      'e\u202Etxt.exe',
      'n\u0301%0d%0aX: y.htm',
    ]
    for (const name of names) {
      writeFileSync(join(folder, name), html)
      const query = new URLSearchParams({ target: 'prod-web', under: 'operator', path: join(folder, name) })
      const file = await alice.browser.open(`${origin}/api/v1/terminal/file?${query.toString()}`, {
        headers: { 'sec-fetch-site': 'same-origin' },
      })
      t.equal(file.status, 200, `${name}: ${file.text}`)
      t.equal(file.headers['content-type'], 'application/octet-stream')
      t.match(
        file.headers['content-disposition'],
        /^attachment; filename="[\w.-]+"; filename\*=UTF-8''[\w.%~-]+$/,
        name,
      )
      t.notMatch(String(file.headers['content-disposition']), /filename="\./)
      t.match(file.headers, { 'x-content-type-options': 'nosniff', 'content-security-policy': /default-src 'none'/ })
    }
    t.equal((await alice.ssh(['@', 'prod-web', `echo '${html}'`])).code, 0)
    const home = `https://prod-web.apps.localhost:${new URL(origin).port}`
    const page = { headers: { accept: 'text/html' } }
    const onward = /content="0; url=([^"]+)"/.exec((await alice.browser.open(`${home}/`, page)).text)?.[1]
    await alice.browser.open(onward?.replaceAll('&#38;', '&') ?? '', page)
    await alice.browser.open(`${home}/nothing?q=<script>alert(1)</script>`.replaceAll('<', '%3C'), page)
    type Listed = { readonly id: string; readonly channel: string; readonly grant: string }
    let listed: readonly Listed[] = []
    await until(async () => {
      listed = (await carol.browser.api(origin, 'GET', '/sessions?target=prod-web')).json()
        .sessions as readonly Listed[]
      return ['exec', 'web'].every((channel) => listed.some((one) => one.channel === channel))
    }, 'they are in the store')
    const of = (channel: string) => listed.find((one) => one.channel === channel)
    for (const [path, type, isFile] of [
      [`/sessions/${of('exec')?.id}/asciicast`, 'application/x-asciicast', false],
      [`/sessions/${of('exec')?.id}/asciicast?download=1`, 'application/x-asciicast', true],
      [`/sessions/${of('exec')?.id}/json`, 'application/json', true],
      [`/sessions/${of('web')?.id}/har`, 'application/json', true],
      [`/grants/${of('exec')?.grant}/evidence`, 'application/x-ndjson', true],
    ] as const) {
      const answer = await carol.browser.open(`${origin}/api/v1${path}`, {
        headers: { accept: 'text/html', 'sec-fetch-site': 'none' },
      })
      t.equal(answer.status, 200, path)
      t.ok(String(answer.headers['content-type']).startsWith(type), path)
      t.match(answer.headers, {
        'x-content-type-options': 'nosniff',
        'content-security-policy': /default-src 'none'/,
        'cross-origin-resource-policy': 'same-origin',
      })
      t.equal((answer.headers['content-disposition'] ?? '').startsWith('attachment; '), isFile, path)
    }
  })

  await t.test('the webhook hears of a request, a held statement and an alert, and is no way in or out', async (t) => {
    const got: Record<string, unknown>[] = []
    const asked: string[] = []
    let behave: 'well' | 'down' | 'redirect' | 'huge' | 'silent' = 'well'
    const office = createServer((request, response) => {
      asked.push(`${behave} ${request.url}`)
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        if (behave === 'silent') return
        if (behave === 'redirect') response.writeHead(307, { location: `http://127.0.0.1:${port}/elsewhere` }).end()
        if (behave === 'down') response.writeHead(503).end()
        if (response.writableEnded) return
        got.push(JSON.parse(body) as Record<string, unknown>)
        if (behave === 'well') response.end('ok')
        else flood(response)
      })
    })
    await new Promise<void>((resolve) => office.listen(0, '127.0.0.1', resolve))
    const { port } = office.address() as AddressInfo
    t.teardown(() => {
      office.closeAllConnections()
      office.close()
    })
    const secret = join(dataDir, 'webhook')
    writeFileSync(secret, `http://127.0.0.1:${port}/hook/s3cret-path\n`, { mode: 0o600 })
    const file = join(dataDir, 'sallyport.yaml')
    const config = parseDocument(readFileSync(file, 'utf8'))
    config.setIn(['notify'], { webhook: `file:${secret}`, details: true })
    writeFileSync(file, String(config))
    const log = () => readFileSync(join(dataDir, 'sallyport.log'), 'utf8')
    const taken = () => log().split('configuration was taken').length
    const before = taken()
    demo.process.kill('SIGHUP')
    await until(() => taken() >= before + 2, 'both workers have it')

    const ask = async (target: string, role: string) =>
      (await alice.browser.api(origin, 'POST', '/requests', { target, role, reason: 'INC-42 webhook' })).json() as {
        readonly id: string
      }
    const drop = ({ id }: { readonly id: string }) => alice.browser.api(origin, 'POST', `/requests/${id}/withdraw`, {})
    const request = await ask('prod-web', 'careful')
    await until(() => got.some(({ kind }) => kind === 'request'), 'the request arrived')
    t.match(
      got.find(({ kind }) => kind === 'request'),
      { request: request.id, person: 'alice', target: 'prod-web', role: 'careful', reason: 'INC-42 webhook' },
    )
    await bob.browser.api(origin, 'POST', `/requests/${request.id}/approve`, {})
    const holding = alice.start([`alice%prod-web%careful@${demo.report.ssh.host}`, `touch ${dataDir}/held`])
    await until(() => got.some(({ kind }) => kind === 'hold'), 'the hold arrived')
    t.match(
      got.find(({ kind }) => kind === 'hold'),
      { person: 'alice', target: 'prod-web', statement: /touch/ },
    )
    holding.kill('SIGTERM')
    await alice.ssh([`alice%prod-web%operator@${demo.report.ssh.host}`, 'echo sudo -i'])
    await until(() => got.some(({ kind }) => kind === 'alert'), 'the alert arrived')
    t.match(
      got.find(({ kind }) => kind === 'alert'),
      { person: 'alice', target: 'prod-web', alert: 'become-root', line: 'echo sudo -i', ended: false },
    )

    for (const [manner, hasArrived] of [
      ['redirect', () => asked.filter((one) => one.startsWith('redirect')).length > 0],
      ['down', () => asked.filter((one) => one.startsWith('down')).length > 0],
      ['silent', () => asked.filter((one) => one.startsWith('silent')).length > 0],
      ['huge', () => asked.filter((one) => one.startsWith('huge')).length > 0],
    ] as const) {
      behave = manner
      const one = await ask('prod-db', 'careful')
      await until(hasArrived, manner)
      t.equal((await drop(one)).status, 200, `${manner}: nobody waits for it`)
    }
    await until(() => log().includes('approvers could not be notified'), 'the log has it')
    t.notOk(
      asked.some((one) => one.endsWith('/elsewhere')),
      'it follows nobody',
    )
    t.notMatch(log(), /s3cret-path/)
    const audit = (await bob.browser.api(origin, 'GET', '/audit')).text
    t.notMatch(audit, /s3cret-path/)
  })
  await demo.end()
}
