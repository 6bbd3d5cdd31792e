/** A web application in a network that nobody can dial, through the line that a real agent holds: pages, uploads, event streams, WebSockets, and the line's end. */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { agentDirectory, startAgent } from '../fixtures/agent.ts'
import { startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'

const BIG = randomBytes(30 * 2 ** 20)
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
let isLeft = 0
const app = createServer((request, response) => {
  request.on('error', () => undefined)
  if (request.url === '/big') response.end(BIG)
  else if (request.url === '/clock') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write('data: tick\n\n'), 100)
    response.once('close', () => {
      clearInterval(timer)
      isLeft += 1
    })
  } else {
    const hash = createHash('sha256')
    request.on('data', (chunk: Buffer) => hash.update(chunk))
    request.on('end', () => response.end(`${request.headers.host} ${hash.digest('hex')}`))
  }
})
const echo = new WebSocketServer({ server: app })
echo.on('connection', (line) => {
  line.on('error', () => undefined)
  line.on('message', (data, binary) => line.send(data, { binary }))
})
await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
t.teardown(() => {
  for (const line of echo.clients) line.terminate()
  app.closeAllConnections()
  app.close()
})
const port = (app.address() as AddressInfo).port

if (!existsSync('/usr/bin/ssh')) t.plan(0, 'no OpenSSH client here')
else {
  t.setTimeout(120_000)
  const demo = await startDemo(t)
  const [alice, bob] = [demo.person('alice'), demo.person('bob')] as const
  const origin = demo.report.https.url
  const home = `https://prod-app.apps.localhost:${new URL(origin).port}`
  const caFile = join(alice.client.directory, 'ca.pem')
  writeFileSync(caFile, demo.certificate)
  await alice.visit()
  await bob.visit()
  const asked = await alice.browser.api(origin, 'POST', '/requests', {
    target: 'prod-app',
    role: 'operator',
    reason: 'INC-42: a parcel is missing',
  })
  const { id } = asked.json() as { readonly id: string }
  t.equal((await bob.browser.api(origin, 'POST', `/requests/${id}/approve`, {})).status, 200)

  let cookie = ''
  await t.test('the demo’s own agent brings the shop in', async (t) => {
    const handedOver = await alice.browser.open(`${home}/`, { headers: { accept: 'text/html' } })
    const onward = /http-equiv="refresh" content="0; url=([^"]+)"/.exec(handedOver.text)?.[1]?.replaceAll('&#38;', '&')
    const page = await alice.browser.open(onward ?? '', { headers: { accept: 'text/html' } })
    t.match(page, { status: 200, text: /Orders · Back office/ })
    cookie = `__Host-sallyport-web=${alice.browser.cookie(new URL(home).hostname, '__Host-sallyport-web')?.value}`
  })

  const curl = (args: readonly string[]) => {
    const child = spawn('curl', ['-sS', '--cacert', caFile, '-H', `Cookie: ${cookie}`, ...args])
    t.teardown(() => child.kill('SIGKILL'))
    const out: Buffer[] = []
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => out.push(chunk))
    const over = new Promise<{ readonly code: number | null; readonly out: Buffer }>((resolve) =>
      child.once('close', (code) => resolve({ code, out: Buffer.concat(out) })),
    )
    return { over, said: () => Buffer.concat(out).toString() }
  }
  const data = agentDirectory(t)
  const { host, port: ssh } = demo.report.ssh
  const token = async () =>
    (await bob.ssh(['@', 'agent-token', 'prod-app', '--targets', 'prod-app', '--for', '5m'])).stdout.toString().trim()

  await t.test('an agent brings in what its own settings name, and nothing else', async (t) => {
    const shell = startAgent(t, agentDirectory(t), [
      '--enroll',
      await token(),
      '--gateway',
      `${host}:${ssh}`,
      '--offer',
      'prod-app.ssh=shell',
    ])
    await shell.says(/worker [12] of 2[\s\S]*worker [12] of 2/)
    let no = ''
    await until(async () => {
      no = (await curl(['-i', `${home}/`]).over).out.toString()
      return no.includes('does not offer http there')
    }, 'the demo’s own is cut')
    t.match(no, /^HTTP\/2 502 [\s\S]*"TARGET_UNREACHABLE"[\s\S]*Try again/)
    await shell.end()
  })

  const settled = /worker [12] of 2[\s\S]*worker [12] of 2/
  await t.test('pages, uploads, downloads, event streams and WebSockets pass', async (t) => {
    const offers = ['--offer', 'prod-app.ssh=shell', '--offer', `prod-app.http=127.0.0.1:${port}`]
    const agent = startAgent(t, data, ['--enroll', await token(), '--gateway', `${host}:${ssh}`, ...offers])
    await agent.says(settled)
    await until(async () => (await curl([`${home}/`]).over).out.toString().startsWith('prod-app.apps'), 'it answers')
    for (const version of ['--http2', '--http1.1']) {
      t.equal(sha((await curl([version, `${home}/big`]).over).out), sha(BIG), version)
      const file = join(alice.client.directory, 'big')
      writeFileSync(file, BIG)
      t.match((await curl([version, '-T', file, `${home}/up`]).over).out.toString(), sha(BIG), version)
    }
    const options = { ca: demo.certificate, headers: { cookie, origin: home, host: new URL(home).host } }
    const line = new WebSocket(`wss://127.0.0.1:${new URL(home).port}/`, {
      ...options,
      servername: new URL(home).hostname,
    } as typeof options)
    line.on('error', () => undefined)
    await new Promise((resolve) => line.once('open', resolve))
    line.send(BIG.subarray(0, 1_000_000))
    t.ok(
      BIG.subarray(0, 1_000_000).equals(await new Promise<Buffer>((resolve) => line.once('message', resolve))),
      'a large message there and back',
    )
    const closed = new Promise((resolve) => line.once('close', resolve))

    const ticking = curl(['-N', `${home}/clock`])
    await until(() => ticking.said().includes('tick'), 'it ticks')
    agent.process.kill('SIGKILL')
    t.not((await ticking.over).code, 0, 'a stream that was lost does not look whole')
    await closed
    await until(() => isLeft === 1, 'the application is left')
    const no = (await curl(['-i', `${home}/`]).over).out.toString()
    t.match(no, /^HTTP\/2 502 [\s\S]*its agent prod-app is not connected/)
    const again = startAgent(t, data, [])
    await again.says(settled)
    await until(async () => (await curl([`${home}/`]).over).out.toString().startsWith('prod-app.apps'), 'it is back')
    const cut = curl(['-N', `${home}/clock`])
    await until(() => cut.said().includes('tick'), 'it ticks')
    t.equal((await bob.browser.api(origin, 'POST', `/grants/${id}/revoke`, { note: 'found' })).status, 200)
    t.not((await cut.over).code, 0, 'cut at the end of the grant')
    await until(() => isLeft === 2, 'the application is left')
    await again.end()
  })
  await demo.end()
}
