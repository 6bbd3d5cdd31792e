/** What passes, in both directions, with real clients and real servers: bodies, streams, WebSockets, faults of either side, and the cut. */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTls } from 'node:https'
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { selfSignedCertificate } from '../../gateway/portal/portal.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { requestsOf, webTarget, webWorld } from '../fixtures/web-door.ts'
import { until } from '../fixtures/until.ts'

const MB = 2 ** 20
const BIG = 100 * MB
const seen: { readonly method: string; readonly url: string; readonly body: number; readonly sha256: string }[] = []
let closedEarly = 0
let begun = 0
/** 100 MB that nobody keeps in memory. */
const block = randomBytes(MB)
const bigHash = (() => {
  const hash = createHash('sha256')
  for (let i = 0; i < BIG / MB; i++) hash.update(block)
  return hash.digest('hex')
})()

/** Closes a connection that it has kept instead of answering. */
function closes({ method, socket, url = '' }: IncomingMessage, response: ServerResponse): boolean {
  const isKept = served.has(socket)
  served.add(socket)
  if (!url.startsWith('/closing/')) return false
  tries.push(`${method} ${isKept ? 'kept' : 'fresh'}`)
  if (!isKept && url !== '/closing/always') response.end('there')
  else if (url === '/closing/half') socket.end('HTTP/1.1 20')
  else if (url === '/closing/reset' && 'resetAndDestroy' in socket) socket.resetAndDestroy()
  else socket.end()
  return true
}
const tries: string[] = []

const app = createServer((request, response) => {
  if (closes(request, response)) return
  const { url = '', method = '' } = request
  const hash = createHash('sha256')
  let body = 0
  request.on('data', (chunk: Buffer) => {
    body += chunk.length
    hash.update(chunk)
  })
  request.on('end', () => seen.push({ method, url, body, sha256: hash.digest('hex') }))
  request.on('error', () => undefined)
  const early = () => {
    if (!response.writableFinished) closedEarly += 1
  }
  if (url === '/big') {
    response.writeHead(200, { 'content-length': BIG })
    let left = BIG / MB
    const more = () => {
      for (; left > 0 && !response.writableNeedDrain; left -= 1) response.write(block)
      if (left === 0) response.end()
      else response.once('drain', more)
    }
    more()
  } else if (url === '/range') {
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []
    const part = block.subarray(Number(from), Number(to) + 1)
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${MB}`, 'content-length': part.length })
    response.end(part)
  } else if (url === '/slow') {
    begun += 1
    const timer = setInterval(() => response.write('x'.repeat(1000)), 20)
    response.on('close', () => {
      clearInterval(timer)
      early()
    })
    response.write('x')
  } else if (url === '/die') {
    response.writeHead(200, { 'content-length': 1000 })
    response.write('abc')
    setTimeout(() => response.socket?.destroy(), 50)
  } else if (url === '/rubbish') request.socket.end('SSH-2.0-OpenSSH\r\n')
  else if (url === '/never') response.on('close', early)
  else if (url === '/clock') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    begun += 1
    response.write('data: 1\n\n')
    response.on('close', early)
  } else if (url === '/early') {
    response.writeHead(401, { 'content-type': 'text/plain' })
    response.end('not even reading')
  } else if (url === '/unrecorded') {
    world.recorder.broken = true
    response.end('what nobody may have')
  } else if (url === '/moved') {
    response.writeHead(302, { location: `http://127.0.0.1:${(app.address() as AddressInfo).port}/there?x=1` })
    response.end()
  } else {
    if (url === '/hints') response.writeEarlyHints({ link: '</a.css>; rel=preload' })
    request.on('end', () => {
      response.writeHead(200, {
        'set-cookie': ['a=1', 'b=2'],
        connection: 'keep-alive, x-hop',
        'x-hop': 'no',
        'alt-svc': 'h3=":443"',
        'clear-site-data': '"cookies"',
        'sallyport-assertion': 'mine',
        trailer: 'x-sum',
      })
      response.addTrailers({ 'x-sum': '9' })
      response.end(`ok ${method} ${body}`)
    })
  }
})
/** Connections that an answer went over before. */
const served = new WeakSet<Duplex>()
let resets = 0
let closing = 0
const echo = new WebSocketServer({ noServer: true })
app.on('upgrade', (request: IncomingMessage, socket, head) => {
  world.recorder.order.push('forward')
  if (request.url === '/deny') socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno')
  else if (request.url === '/rst') {
    resets += 1
    ;(socket as Socket).resetAndDestroy()
  } else if (request.url === '/kept' && served.has(socket)) {
    closing += 1
    socket.end()
  } else if (request.url === '/liar')
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n',
    )
  else
    echo.handleUpgrade(request, socket, head, (line) => {
      line.send('hello')
      line.on('message', (data, isBinary) => line.send(data, { binary: isBinary }))
      line.on('error', () => undefined)
    })
})
await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
const silent = createTcp((socket) => socket.on('error', () => undefined))
await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port
const own = selfSignedCertificate({ names: ['localhost'], clock: wallClock })
const client = selfSignedCertificate({ names: ['gateway-client'], clock: wallClock })
const secure = createTls(
  { ...own, ca: client.cert, requestCert: true, rejectUnauthorized: false },
  (request, response) => {
    if (closes(request, response)) return
    const peer = (request.socket as TLSSocket).getPeerCertificate()
    response.end(`secure for ${String(peer.subject?.CN ?? 'nobody')}`)
  },
)
await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
t.teardown(() => {
  for (const line of echo.clients) line.terminate()
  for (const server of [app, secure]) {
    server.closeAllConnections()
    server.close()
  }
  silent.close()
})
/** What a tunnel has carried and may still look at: its memory is its own. */
const frames: Buffer[] = []
/** A stream that is no socket, as an agent's tunnel is. */
function tunnelled(line: Duplex): Duplex {
  const outer = new Duplex({
    read: () => line.resume(),
    write: (chunk: Buffer, _, done) => void line.write(chunk, done),
    final: (done) => void line.end(done),
    destroy: (failure, done) => {
      line.destroy()
      done(failure)
    },
  })
  line.on('data', (chunk: Buffer) => {
    if (frames.length < 200) frames.push(chunk)
    if (!outer.push(chunk)) line.pause()
  })
  line.once('end', () => outer.push(null))
  line.once('close', () => outer.destroy())
  return outer
}

const folder = mkdtempSync(join(tmpdir(), 'sallyport-http-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const keyFile = join(folder, 'key.pem')
writeFileSync(keyFile, client.key, { mode: 0o600 })

const url = `http://127.0.0.1:${portOf(app)}`
const world = await webWorld(
  t,
  [
    webTarget('prod-web', { url }),
    webTarget('down-web', { url: 'http://127.0.0.1:1' }),
    webTarget('silent-web', { url: `http://127.0.0.1:${portOf(silent)}` }),
    webTarget('tls-web', {
      url: `https://localhost:${portOf(secure)}`,
      ca: own.cert,
      certificate: { certificate: client.cert, key: `file:${keyFile}` },
    }),
    webTarget('wrong-web', { url: `https://localhost:${portOf(secure)}`, ca: client.cert }),
    webTarget('taped-web', { url }),
    webTarget('order-web', { url }),
    webTarget('tunnel-web', { url }),
    webTarget('tunnel-tls-web', { url: `https://localhost:${portOf(secure)}`, ca: own.cert }),
  ],
  {
    settings: { headersMs: 700, idleMs: 1500, sessionIdleMs: 60_000 },
    dial: (dial, recorder) => (admission, signal) => {
      recorder.order.push('forward')
      const line = dial(admission, signal)
      return admission.target.name.startsWith('tunnel-') ? line.then(tunnelled) : line
    },
  },
)
const cookies = new Map<string, string>()
for (const target of ['prod-web', 'tunnel-web', 'tunnel-tls-web', 'down-web', 'silent-web', 'tls-web', 'wrong-web']) {
  await world.live('web', target)
  cookies.set(target, await world.cookie(target))
}
const home = world.originOf('prod-web')
const host = `prod-web.localhost:${world.port}`
const caFile = join(folder, 'ca.pem')
writeFileSync(caFile, world.ca)
const tapeOf = (target: string) => {
  const tape = world.recorder.tapes.findLast(({ start }) => start.target === target)
  if (tape === undefined) throw new Error('no tape')
  return tape
}

type Ran = { readonly code: number | null; readonly out: Buffer; readonly err: string }
function curl(
  args: readonly string[],
  target = 'prod-web',
  hashed = false,
): Promise<Ran & { readonly sha256: string }> {
  const child = spawn('curl', ['-sS', '--cacert', caFile, '--http1.1', '-H', `Cookie: ${cookies.get(target)}`, ...args])
  t.teardown(() => child.kill('SIGKILL'))
  const out: Buffer[] = []
  const hash = createHash('sha256')
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    if (!hashed) out.push(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, out: Buffer.concat(out), err, sha256: hash.digest('hex') }))
  })
}
/** The status, and which connections the target was asked over. */
const ask = async (path: string, target: string, ...how: string[]) => {
  tries.length = 0
  const { out } = await curl([...how, '-w', '%{http_code}', `${world.originOf(target)}${path}`], target)
  return `${out.toString().slice(-3)} ${tries.join(', ')}`
}
const outcomeOf = (target: string) => requestsOf(tapeOf(target)).at(-1)?.outcome
const sockets: Socket[] = []
function socketTo(path: string, target = 'prod-web', perMessageDeflate = true): WebSocket {
  const options = {
    ca: world.ca,
    servername: `${target}.localhost`,
    perMessageDeflate,
    headers: {
      host: `${target}.localhost:${world.port}`,
      cookie: cookies.get(target) ?? '',
      origin: world.originOf(target),
    },
  }
  const line = new WebSocket(`wss://127.0.0.1:${world.port}${path}`, options)
  line.once('upgrade', (answer) => sockets.push(answer.socket))
  return line
}
const refused = (path: string) =>
  new Promise<number | string>((resolve) => {
    const line = socketTo(path)
    line.once('unexpected-response', (_, answer) => resolve(answer.statusCode ?? 0))
    line.once('error', (failure) => resolve(failure.message))
  })
const message = (line: WebSocket) =>
  new Promise<string>((resolve) => line.once('message', (data: Buffer) => resolve(data.toString())))

if (!existsSync('/usr/bin/curl')) t.plan(0, 'skipped: there is no curl here')
else {
  await t.test('answers arrive as they are, without what is between neighbours only', async (t) => {
    const { out } = await curl(['-i', `${home}/h`])
    t.match(out.toString(), /^HTTP\/1\.1 200 OK/)
    t.match(out.toString(), /set-cookie: a=1; Secure\r\nset-cookie: b=2; Secure/i)
    t.notMatch(out.toString(), /x-hop|alt-svc|clear-site-data|sallyport-assertion/i)
    const moved = await curl(['-i', `${home}/moved`])
    t.match(
      moved.out.toString(),
      new RegExp(`location: ${home}/there\\?x=1\r`, 'i'),
      'its inner address is made public',
    )
    const head = await curl(['-I', `${home}/big`])
    t.match(head.out.toString(), /content-length: 104857600/i)
  })

  await t.test('a connection that the target is just closing is no failure for who only looks', async (t) => {
    let judged = 0
    const keptBy = async (target: string, path: string, ...how: string[]): Promise<string> => {
      for (;;) {
        await ask('/', target)
        judged = requestsOf(tapeOf(target)).length
        const said = await ask(path, target, ...how)
        judged = requestsOf(tapeOf(target)).length - judged
        // On a busy machine it may have rested for too long.
        if (!/^\d+ \w+ fresh$/.test(said)) return said
      }
    }
    for (const target of ['prod-web', 'tls-web', 'tunnel-web', 'tunnel-tls-web']) {
      t.equal(await keptBy(target, '/closing/end'), '200 GET kept, GET fresh', target)
      t.match(outcomeOf(target), { result: 'done', resent: true })
      t.equal(judged, 1)
    }
    t.equal(await keptBy('tunnel-web', '/closing/always'), '502 GET kept, GET fresh', 'once more')
    t.match(outcomeOf('tunnel-web'), { result: 'error', resent: true })
    t.equal(await ask('/closing/always', 'tunnel-web'), '502 GET fresh', 'a fresh one has not been kept')
    t.equal(outcomeOf('tunnel-web')?.resent, undefined)
    const kept = (path: string, ...how: string[]) => keptBy('prod-web', path, ...how)
    t.equal(await kept('/closing/reset'), '200 GET kept, GET fresh')
    t.equal(await kept('/closing/end', '-I'), '200 HEAD kept, HEAD fresh')
    t.equal(await kept('/closing/half'), '502 GET kept', 'an answer had begun')
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH'])
      t.equal(await kept('/closing/end', '-X', method), `502 ${method} kept`, `${method} could have done something`)
    t.equal(await kept('/closing/end', '-X', 'GET', '-d', 'x=1'), '502 GET kept', 'a body is not kept')
    t.equal(outcomeOf('prod-web')?.resent, undefined)
  })

  await t.test('early hints and trailers', async (t) => {
    const said = await world.raw(`GET /hints HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookies.get('prod-web')}\r\n\r\n`)
    t.match(said, /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a.css>; rel=preload/i)
    t.match(said, /\r\n0\r\nx-sum: 9\r\n\r\n$/i)
  })

  await t.test('100 MB each way arrive whole, and nobody keeps them in memory', async (t) => {
    globalThis.gc?.()
    const before = process.memoryUsage().rss
    let most = before
    const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20)
    const down = await curl([`${home}/big`], 'prod-web', true)
    t.equal(down.sha256, bigHash)
    const upload = join(folder, 'big')
    writeFileSync(upload, Buffer.alloc(0))
    for (let i = 0; i < BIG / MB; i++) writeFileSync(upload, block, { flag: 'a' })
    for (const how of [[], ['-H', 'Transfer-Encoding: chunked']]) {
      seen.length = 0
      const up = await curl(
        ['-X', 'POST', ...how, '--data-binary', '@-', '-T', upload, `${home}/up`].filter(
          (a) => a !== '--data-binary' && a !== '@-',
        ),
      )
      t.equal(up.out.toString(), `ok POST ${BIG}`, up.err)
      t.match(seen, [{ method: 'POST', body: BIG, sha256: bigHash }])
    }
    clearInterval(watch)
    t.ok(most - before < 220 * MB, 'flat memory (upstream and gateway are this one process)', {
      mb: (most - before) / MB,
    })
    t.match(requestsOf(tapeOf('prod-web')).findLast(({ statement }) => statement.text === 'POST /up')?.outcome, {
      result: 'done',
      status: 200,
      bytesIn: BIG,
    })
  })

  await t.test('ranges, and a client that waits for 100 Continue', async (t) => {
    const part = await curl(['-i', '-r', '1000-1999', `${home}/range`])
    t.match(part.out.toString('latin1'), /^HTTP\/1\.1 206[\s\S]*content-range: bytes 1000-1999\/1048576/i)
    t.ok(part.out.subarray(-1000).equals(block.subarray(1000, 2000)))
    const waited = await curl(['-v', '-H', 'Expect: 100-continue', '-d', 'abc', `${home}/up`])
    t.match(waited.err, /100 Continue/)
    t.equal(waited.out.toString(), 'ok POST 3')
  })

  await t.test('an application that answers before it was asked to the end', async (t) => {
    const { out } = await curl(['-i', '-X', 'POST', '-T', join(folder, 'big'), `${home}/early`])
    t.match(out.toString(), /401[\s\S]*not even reading$/)
  })

  await t.test('when the application breaks, people are told and nothing hangs', async (t) => {
    const died = await curl(['-i', `${home}/die`])
    t.not(died.code, 0, 'an answer that broke off is no answer')
    t.match(requestsOf(tapeOf('prod-web')).at(-1)?.outcome, { result: 'error', status: 200, bytes: 3 })
    const rubbish = await curl(['-i', `${home}/rubbish`])
    t.match(rubbish.out.toString(), /^HTTP\/1\.1 502 [\s\S]*TARGET_UNREACHABLE[\s\S]*"reference":"\w{8}"/)
    const never = await curl(['-i', `${home}/never`])
    t.match(never.out.toString(), /^HTTP\/1\.1 504 /)
    const down = await curl(['-i', `${world.originOf('down-web')}/`], 'down-web')
    t.match(down.out.toString(), /^HTTP\/1\.1 502 [\s\S]*nothing listens there/)
    const page = await curl(['-i', '-H', 'Accept: text/html', `${world.originOf('down-web')}/`], 'down-web')
    t.match(page.out.toString(), /text\/html[\s\S]*The application does not answer[\s\S]*Reference \w{8}/)
    const silence = await curl(['-i', `${world.originOf('silent-web')}/`], 'silent-web')
    t.match(silence.out.toString(), /^HTTP\/1\.1 504 /)
    const upload = await curl(['-i', '-T', join(folder, 'big'), `${world.originOf('down-web')}/`], 'down-web')
    t.match(upload.out.toString(), /^HTTP\/1\.1 (100 Continue\r\n\r\nHTTP\/1\.1 )?502 /)
  })

  await t.test('when the client leaves, so does the request', async (t) => {
    for (const path of ['/slow', '/never']) {
      closedEarly = 0
      const child = await curl(['--max-time', '0.3', `${home}${path}`])
      t.equal(child.code, 28)
      await until(() => closedEarly === 1, `closed ${path}`)
    }
    closedEarly = 0
    const socket = await world.connect()
    socket.write(
      `POST /up HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookies.get('prod-web')}\r\nContent-Length: 1000\r\n\r\nabc`,
    )
    await until(
      () =>
        requestsOf(tapeOf('prod-web')).some(
          ({ statement, outcome }) => statement.text === 'POST /up' && outcome === undefined,
        ),
      'half of it is there',
    )
    socket.destroy()
    await until(() => requestsOf(tapeOf('prod-web')).at(-1)?.outcome?.error === 'the client left', 'noted')
  })

  await t.test('who sends nothing, or reads nothing, is not waited for', async () => {
    const socket = await world.connect()
    let said = ''
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()))
    socket.write(
      `POST /up HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookies.get('prod-web')}\r\nContent-Length: 1000\r\n\r\nabc`,
    )
    await until(() => said.startsWith('HTTP/1.1 504 '), 'told')
    const lazy = await world.connect()
    lazy.pause()
    lazy.write(`GET /big HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookies.get('prod-web')}\r\n\r\n`)
    await until(
      () => requestsOf(tapeOf('prod-web')).at(-1)?.outcome?.error === 'nothing moved for too long',
      'given up',
    )
  })

  await t.test('https targets: the CA is checked, a client certificate is shown', async (t) => {
    const good = await curl([`${world.originOf('tls-web')}/`], 'tls-web')
    t.equal(good.out.toString(), 'secure for gateway-client')
    const wrong = await curl(['-i', `${world.originOf('wrong-web')}/`], 'wrong-web')
    t.match(wrong.out.toString(), /^HTTP\/1\.1 502 [\s\S]*cannot be trusted/)
  })

  await t.test(
    'WebSockets: both ways, any size, compressed or not; refusals and faults of the application',
    async (t) => {
      for (const perMessageDeflate of [true, false]) {
        const line = socketTo('/ok', 'prod-web', perMessageDeflate)
        t.equal(await message(line), 'hello')
        for (const size of [0, 1, 125, 126, 65_535, 65_536, 3 * MB]) {
          const text = 'ä'.repeat(size)
          const back = message(line)
          line.send(text)
          t.equal(await back, text)
        }
        line.close(1000, 'bye')
        await new Promise((resolve) => line.once('close', resolve))
        await until(() => requestsOf(tapeOf('prod-web')).at(-1)?.outcome?.frames !== undefined, 'noted')
        t.match(requestsOf(tapeOf('prod-web')).at(-1), {
          statement: { text: 'GET /ok' },
          outcome: { result: 'done', status: 101 },
        })
        const { frames } = requestsOf(tapeOf('prod-web')).at(-1)?.outcome ?? {}
        t.ok((frames?.in ?? 0) >= 8 && (frames?.out ?? 0) >= 9, 'frames are counted')
      }
      t.equal(await refused('/deny'), 403)
      resets = 0
      t.equal(await refused('/rst'), 502)
      t.equal(resets, 2, 'a connection that broke without an answer is tried once more, and not again')
      await curl([`${home}/`], 'prod-web')
      const kept = socketTo('/kept')
      t.equal(await message(kept), 'hello', 'a connection that the target is just closing is not the end')
      t.equal(closing, 1)
      kept.close()
      await until(() => requestsOf(tapeOf('prod-web')).at(-1)?.outcome !== undefined, 'noted')
      t.match(requestsOf(tapeOf('prod-web')).at(-1), { statement: { text: 'GET /kept' }, outcome: { status: 101 } })
      t.equal(await refused('/liar'), 502)
      const before = echo.clients.size
      const socket = await world.connect()
      socket.write(
        `GET /ok HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookies.get('prod-web')}\r\nOrigin: ${home}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
      )
      setTimeout(() => socket.destroy(), 30)
      await until(() => echo.clients.size <= before, 'no line is left behind')
    },
  )

  await t.test('what reaches a target through a tunnel is no socket, and works all the same', async (t) => {
    const there = world.originOf('tunnel-web')
    const down = await curl([`${there}/big`], 'tunnel-web', true)
    t.equal(down.sha256, bigHash)
    t.ok(
      frames.length === 200 && frames.every(({ length }) => length > 0),
      'the memory of its frames is left to the tunnel',
    )
    const secured = await curl([`${world.originOf('tunnel-tls-web')}/`], 'tunnel-tls-web')
    t.equal(secured.out.toString(), 'secure for nobody', 'TLS within the tunnel')
    const up = await curl(['-d', 'abc', `${there}/up`], 'tunnel-web')
    t.equal(up.out.toString(), 'ok POST 3')
    const line = socketTo('/ok', 'tunnel-web')
    t.equal(await message(line), 'hello')
    const back = message(line)
    line.send('through')
    t.equal(await back, 'through')
    line.close()
    const died = await curl(['-i', `${there}/die`], 'tunnel-web')
    t.not(died.code, 0)
  })

  await t.test('a WebSocket that breaks the protocol is ended', async (t) => {
    const line = socketTo('/ok')
    await message(line)
    const gone = new Promise((resolve) => line.once('close', resolve))
    // Past the library, which would mask it.
    const raw = sockets.at(-1)
    raw?.write(Buffer.from([0x81, 0x05, 1, 2, 3, 4, 5]))
    await gone
    t.match(requestsOf(tapeOf('prod-web')).at(-1)?.outcome, { error: /masked the wrong way/ })
  })

  await t.test(
    'bodies and WebSocket messages are kept where the role says so; values of queries are not',
    async (t) => {
      await world.live('taped', 'taped-web')
      cookies.set('taped-web', await world.cookie('taped-web'))
      const there = world.originOf('taped-web')
      await curl(['-d', 'p='.padEnd(100, 'ß'), `${there}/up?token=abc&page=2`], 'taped-web')
      const line = socketTo('/ok', 'taped-web')
      t.equal(await message(line), 'hello')
      const back = message(line)
      line.send('typed')
      await back
      line.close()
      await until(() => requestsOf(tapeOf('taped-web')).at(-1)?.outcome?.status === 101, 'closed')
      const { events } = tapeOf('taped-web')
      const kept = events
        .filter(({ kind }) => kind === 'i' || kind === 'o')
        .map(({ kind, data }) => [kind, JSON.parse(data)] as const)
      t.match(
        kept.filter(([, data]) => data.part === 'request'),
        [
          ['i', { part: 'request', text: /^p=ß+/ }],
          ['i', { cut: true }],
        ],
      )
      t.match(
        kept.find(([, data]) => data.part === 'answer'),
        ['o', { text: /^ok/ }],
      )
      t.match(
        kept.find(([, data]) => data.frame === 'text' && data.text === 'typed'),
        ['i', { n: /\d/ }],
      )
      t.match(
        kept.find(([, data]) => data.frame === 'text' && data.text === 'hello'),
        ['o', {}],
      )
      t.ok(requestsOf(tapeOf('taped-web')).some(({ statement }) => statement.text === 'POST /up?token=***&page=***'))
    },
  )

  await t.test('judge, journal, forward: in this order, and not at all when the journal fails', async (t) => {
    const { order } = world.recorder
    const there = world.originOf('order-web')
    await world.live('web', 'order-web')
    order.length = 0
    cookies.set('order-web', await world.cookie('order-web'))
    t.same(order.filter((step) => step !== 'take d').slice(0, 3), ['take s', 'journal', 'forward'], 'a request')
    order.length = 0
    await message(socketTo('/ok', 'order-web'))
    t.same(order.filter((step) => step !== 'take d').slice(0, 3), ['take s', 'journal', 'forward'], 'a WebSocket')
    const before = seen.length
    world.recorder.broken = true
    world.recorder.order.length = 0
    const no = await curl(['-i', `${there}/c`], 'order-web')
    world.recorder.broken = false
    t.match(no.out.toString(), /^HTTP\/1\.1 503 [\s\S]*NOT_RECORDED/)
    t.notOk(world.recorder.order.includes('forward'))
    t.equal(seen.length, before)
    const unrecorded = await curl([`${there}/unrecorded`], 'order-web')
    world.recorder.broken = false
    t.equal(unrecorded.out.length, 0, 'what became of a request is in the journal before its answer leaves')
    t.not(unrecorded.code, 0)
  })

  await t.test('the end of the grant cuts downloads, event streams and WebSockets within a second', async (t) => {
    const grant = await world.live('web')
    // Another grant would go on.
    for (const live of await world.grants.grants(world.identityOf('alice'), { state: 'live', target: 'prod-web' }))
      if (live.id !== grant.id) await world.grants.release(world.identityOf('alice'), live.id)
    const line = socketTo('/ok')
    await message(line)
    const closed = new Promise<string>((resolve) =>
      line.once('close', (code, why) => resolve(`${code} ${String(why)}`)),
    )
    closedEarly = 0
    begun = 0
    const download = curl([`${home}/slow`])
    const stream = curl(['-N', `${home}/clock`])
    const upload = world.raw(
      `POST /up HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookies.get('prod-web')}\r\nContent-Length: 1000\r\n\r\nabc`,
    )
    await until(
      () => begun === 2 && requestsOf(tapeOf('prod-web')).filter(({ outcome }) => outcome === undefined).length === 4,
      'four are under way',
    )
    world.cuts.length = 0
    await world.grants.revoke(world.identityOf('bob'), { grant: grant.id }, 'enough')
    const [why, got, heard, told] = await Promise.all([closed, download, stream, upload])
    t.ok(world.cuts.length === 1 && world.cuts.every((ms) => ms < 1000), 'within a second', { cuts: world.cuts })
    t.match(why, /^1008 .*enough/)
    // Broken off, or told where the answer had not begun.
    for (const { code, out } of [got, heard]) t.ok(code !== 0 || out.includes('enough'))
    t.match(told, /^HTTP\/1\.1 403 [\s\S]*enough/)
    await until(() => closedEarly >= 2, 'the application sees it')
    const tape = tapeOf('prod-web')
    await until(() => tape.end !== undefined, 'the recording is closed')
    t.match(tape.end, { cause: 'cut', detail: /enough/ })
    t.equal(requestsOf(tape).filter(({ outcome }) => outcome?.error?.startsWith('cut: ') === true).length, 4)
    const next = await curl(['-i', `${home}/`])
    t.match(next.out.toString(), /^HTTP\/1\.1 403 [\s\S]*was revoked by bob: enough/)
  })
}
