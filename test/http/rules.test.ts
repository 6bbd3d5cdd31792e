/** The rules alone and through the wire: what a role allows on the exact path, in every spelling; frames cut at every byte. */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { parseConfig } from '../../config/load.ts'
import { readRequest } from '../../gateway/http/asked.ts'
import { forTarget, fromTarget } from '../../gateway/http/cookies.ts'
import { closeFrame, FrameReader } from '../../gateway/http/frames.ts'
import { recordedFields, recordedText } from '../../gateway/http/masking.ts'
import { placesOf } from '../../gateway/http/place.ts'
import { judge, matches } from '../../gateway/http/scope.ts'
import { MalformedMessage } from '../../gateway/model/refusal.ts'
import type { HttpScope, Role } from '../../gateway/model/role.ts'
import type { Target } from '../../gateway/model/target.ts'
import { FULL, requestsOf, webTarget, webWorld } from '../fixtures/web-door.ts'
import { until } from '../fixtures/until.ts'

const asked = (line: string, headers: readonly string[] = [], encodedSlashes = false) => {
  const [method = '', url = ''] = line.split(' ')
  const head = { method, url, version: '1.1', host: 'x', fields: ['Host', 'x', ...headers], hasBody: undefined }
  return readRequest(head, { encodedSlashes })
}
const verdict = (scope: Partial<HttpScope>, line: string, headers: readonly string[] = [], encodedSlashes = false) =>
  judge({ ...FULL, ...scope }, asked(line, headers, encodedSlashes), 'request').verdict.decision

const frame = (opcode: number, payload: Buffer, how: { readonly fin?: boolean; readonly mask?: Buffer } = {}) => {
  const { fin = true, mask } = how
  const n = payload.length
  const length =
    n < 126
      ? Buffer.from([n])
      : n < 65_536
        ? Buffer.from([126, n >> 8, n & 255])
        : Buffer.concat([
            Buffer.from([127, 0, 0, 0, 0]),
            Buffer.from([n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]),
          ])
  const head = Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode]), length])
  if (mask === undefined) return Buffer.concat([head, payload])
  head[1] = (head[1] ?? 0) | 0x80
  return Buffer.concat([head, mask, Buffer.from(payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0)))])
}

const read = (chunks: readonly Buffer[]) => {
  const reader = new FrameReader({ from: 'client', keeps: true, mayCompress: false })
  const whole: Buffer[] = [Buffer.alloc(0)]
  let frames = 0
  for (const chunk of chunks)
    for (const piece of reader.push(chunk)) {
      whole.push(piece.payload)
      if (piece.last) frames += 1
    }
  return { frames, bytes: Buffer.concat(whole).toString('hex'), isAtBoundary: reader.isAtBoundary }
}

const text = (target: string, role: string, more = '') => `public_url: https://gateway.example
${more}
identity: { providers: { dev: { issuer: 'https://idp.example', client_id: x, mfa: { amr: [otp] } } } }
targets: { prod-web: { labels: { env: prod }, http: ${target} } }
roles: { web: { targets: [prod-web], requesters: [a], approval: auto, http: ${role} } }
`

const configOf = (target: string, role: string, more = '') => parseConfig(text(target, role, more), 'g.yaml', [], {})

await t.test('the configuration of web targets and roles is read whole, and mistakes are named', async (t) => {
  const config = configOf(
    "{ url: 'http://10.0.0.7:3000/', basic: { username: svc, password: 'env:P' }, request_headers: ['x-a-*'] }",
    "{ mode: read-only, paths: ['/api/**'], record_body_kilobytes: 1 }",
    'web: { domain: apps.example }',
  )
  const targets: readonly Target[] = config.targets
  const roles: readonly Role[] = config.roles
  t.match(targets[0]?.http, {
    url: 'http://10.0.0.7:3000',
    credential: { kind: 'basic', username: 'svc' },
    hostHeader: 'public',
  })
  t.match(roles[0], {
    endpoints: ['http'],
    http: { mode: 'read-only', websocket: false, paths: ['/api/**'], record: { bodyBytes: 1024, query: 'full' } },
  })
  t.equal(config.web?.domain, 'apps.example')
  const good = "{ url: 'http://x:1' }"
  t.match(configOf(good, '{}').roles[0], { http: { mode: 'read-only' } }, 'the strictest, unless it says more')
  const wrong: readonly (readonly [string, string, string, RegExp])[] = [
    ["{ url: 'http://x:1/path' }", '{ mode: read-only }', '', /give an origin/],
    ["{ url: 'http://me:pw@x:1' }", '{ mode: read-only }', '', /give an origin/],
    ["{ url: 'ftp://x' }", '{ mode: read-only }', '', /give an origin/],
    ["{ url: 'https://x', ca: /nowhere }", '{ mode: read-only }', '', /\/nowhere is no file with a certificate/],
    ["{ url: 'http://x', basic: { username: a, password: hunter2 } }", '{ mode: read-only }', '', /by reference/],
    [
      "{ url: 'http://x', bearer: 'env:A', basic: { username: a, password: 'env:B' } }",
      '{ mode: read-only }',
      '',
      /at most one/,
    ],
    ["{ url: 'http://x', request_headers: ['X_A'] }", '{ mode: read-only }', '', /header name/],
    [good, '{ mode: anything }', '', /mode/],
    [good, '{ mode: read-only, paths: [api] }', '', /begins with \//],
    [good, '{ mode: read-only, paths: ["/a%2fb"] }', '', /without escapes/],
    [good, '{ mode: read-only }', "web: { domain: 'https://x' }", /a domain/],
  ]
  for (const [target, role, more, complaint] of wrong)
    t.throws(() => configOf(target, role, more), { message: complaint })
})

await t.test('patterns: a star stays within its segment, two do not', async (t) => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['/a', '/a', true],
    ['/a', '/a/', false],
    ['/a', '/ab', false],
    ['/a/*', '/a/b', true],
    ['/a/*', '/a/b/c', false],
    ['/a/*/c', '/a/b/c', true],
    ['/a/*.js', '/a/x.min.js', true],
    ['/a/**', '/a', true],
    ['/a/**', '/a/', true],
    ['/a/**', '/a/b/c/d', true],
    ['/a/**', '/ab', false],
    ['/**/secret', '/a/b/secret', true],
    ['/**', '/', true],
    ['/a.c', '/abc', false],
    ['/a(b)+c', '/a(b)+c', true],
    [`/${'*a'.repeat(30)}`, `/${'a'.repeat(3000)}b`, false],
  ]
  for (const [pattern, path, is] of cases)
    t.equal(matches(pattern, path, 'exact'), is, `${pattern} ${path.slice(0, 40)}`)
  t.ok(matches('/Admin/**', '/aDMIN/x', 'any case'))
})

await t.test('an allow-list holds in every spelling of a path', async (t) => {
  const scope = { paths: ['/api/**', '/static/*'] }
  for (const path of [
    '/api',
    '/api/',
    '/api/orders',
    '/%61pi/orders',
    '/api/a;v=1',
    '/api/%C3%A4',
    '/static/x.css',
    '/api?x=/../admin',
  ])
    t.equal(verdict(scope, `GET ${path}`), 'allow', path)
  for (const path of [
    '/',
    '/admin',
    '/API/orders',
    '/apix',
    '/api;x/../admin'.replace('/../', '/'),
    '/static/a/b',
    '/%2561pi/orders',
    '/api/%25%36%31',
    '/api/%ff',
    '/x/api/orders',
  ])
    t.equal(verdict(scope, `GET ${path}`), 'deny', path)
  t.equal(verdict({ paths: ['/api/*'] }, 'GET /api/a%2fb', [], true), 'deny', 'a slash in disguise makes two segments')
})

await t.test('a deny-list holds in every spelling of a path', async (t) => {
  const scope = { denyPaths: ['/admin/**', '/api/keys'] }
  for (const path of [
    '/admin',
    '/admin/',
    '/admin/users',
    '/ADMIN/users',
    '/%61dmin/users',
    '/admin;x=1/users',
    '/adm%69n',
    '/%2561dmin',
    '/admin%3Bx/users',
    '/api/keys',
    '/api/keys/',
    '/api/keys;v=2',
    '/api/Keys',
    '/%ff',
  ])
    t.equal(verdict(scope, `GET ${path}`), 'deny', path)
  for (const path of ['/', '/api/keysmith', '/administration', '/x/admin'])
    t.equal(verdict(scope, `GET ${path}`), 'allow', path)
  t.equal(verdict(scope, 'GET /%61dmin%2fusers', [], true), 'deny')
})

await t.test('read-only is to look, without a body and without a disguise', async (t) => {
  const scope = { mode: 'read-only' } as const
  for (const line of ['GET /', 'HEAD /', 'OPTIONS /', 'GET /?method=x&q=_method'.replace('method=x&', '')])
    t.equal(verdict(scope, line), 'allow', line)
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPPATCH', 'MKCOL', 'get'])
    t.equal(verdict(scope, `${method} /`), 'deny', method)
  t.equal(verdict(scope, 'GET /', ['Content-Length', '1']), 'deny')
  t.equal(verdict(scope, 'GET /', ['Transfer-Encoding', 'chunked']), 'deny')
  for (const name of ['X-HTTP-Method-Override', 'x_http_method_override', 'X-Method-Override', 'X-HTTP-Method'])
    t.equal(verdict(scope, 'GET /', [name, 'DELETE']), 'deny', name)
  for (const query of ['?_method=delete', '?a=1&_METHOD=delete', '?%5fmethod=delete', '?a;_method=delete'])
    t.equal(verdict(scope, `GET /${query}`), 'deny', query)
  t.equal(verdict({ methods: ['GET', 'POST'] }, 'DELETE /'), 'deny')
  t.equal(verdict({ maxRequestBytes: 10 }, 'POST /', ['Content-Length', '11']), 'deny')
  t.equal(judge({ ...FULL, websocket: false }, asked('GET /'), 'websocket').verdict.decision, 'deny')
  t.equal(judge(undefined, asked('GET /'), 'request').verdict.decision, 'deny', 'a role without a scope opens nothing')
})

await t.test('cookies, names of hosts, and what is recorded', async (t) => {
  const ours: string[] = []
  t.equal(
    forTarget('a=1; __Host-sallyport=x;__host-sallyport-web=y; b="2; __Host-sallyport-web-enter=z"; c=3', ours),
    'a=1; b="2; c=3',
  )
  t.same(ours, ['__Host-sallyport=x', '__host-sallyport-web=y', '__Host-sallyport-web-enter=z"'])
  t.equal(forTarget('__Host-sallyport-web=y', ours), '')
  t.equal(fromTarget('a=1; Domain=.example; path=/; HttpOnly'), 'a=1; path=/; HttpOnly; Secure')
  t.equal(fromTarget('a=1;domain=x;Secure;SameSite=None'), 'a=1; Secure; SameSite=None')
  for (const line of [
    '__Host-sallyport=1; Path=/',
    ' __host-sallyport-web=1',
    '=__Host-sallyport-web=1',
    '__Secure-sallyport=1',
  ])
    t.equal(fromTarget(line), undefined, line)
  const placeOf = placesOf({ publicUrl: 'https://gateway.example', domain: 'apps.example' })
  t.match(placeOf('Prod-Web.apps.example'), { target: 'prod-web', origin: 'https://prod-web.apps.example' })
  t.match(placeOf('prod-web.apps.example:443'), { origin: 'https://prod-web.apps.example' })
  for (const host of [
    'apps.example',
    'a.b.apps.example',
    'prod-web.apps.example.evil',
    'prod-web.apps.example:8443',
    '-a.apps.example',
    'prod-web.apps.example.',
    undefined,
  ])
    t.equal(placeOf(host), undefined, String(host))
  t.equal(
    recordedText(asked('GET /x?page=2&api_key=k&%70assword=p&flag'), 'full'),
    'GET /x?page=2&api_key=***&%70assword=***&flag',
  )
  t.equal(recordedText(asked('GET /x?page=2;password=p'), 'full'), 'GET /x?page=***', 'a semicolon hides nothing')
  t.equal(recordedText(asked('GET /x?password=p;q'), 'full'), 'GET /x?password=***')
  t.equal(recordedText(asked('GET /x?page=2'), 'names'), 'GET /x?page=***')
  t.equal(recordedText(asked('GET /x?page=2'), 'none'), 'GET /x?')
  const kept = recordedFields([
    ['authorization', 'Basic secret'],
    ['cookie', 'sid=secret; __Host-sallyport-web=secret'],
    ['referer', 'https://x/?token=secret'],
    ['x-csrf-token', 'secret'],
    ['set-cookie', 'sid=secret; Path=/'],
    ['user-agent', 'curl'],
    ['x-other', 'secret'],
  ])
  t.notMatch(JSON.stringify(kept), /secret/)
  t.match(
    kept.map(([name]) => name),
    ['authorization', 'cookie', 'referer', 'x-csrf-token', 'set-cookie', 'user-agent'],
  )
})

await t.test('frames are read the same wherever their bytes are cut, and rubbish is an end, not a fault', async (t) => {
  const mask = Buffer.from([1, 2, 3, 4])
  const payloads = [
    Buffer.from('hello'),
    Buffer.alloc(0),
    randomBytes(300),
    Buffer.from('part'),
    randomBytes(70_000),
    Buffer.from([3, 232]),
  ]
  const stream = Buffer.concat(payloads.map((payload, i) => frame(i === 3 ? 9 : i === 5 ? 8 : 2, payload, { mask })))
  const expected = { frames: 6, bytes: Buffer.concat(payloads).toString('hex'), isAtBoundary: true }
  for (const at of [...Array.from({ length: 340 }, (_, i) => i), 400, stream.length - 3])
    t.same(read([stream.subarray(0, at), stream.subarray(at)]), expected, `cut at ${at}`)
  t.same(read([...stream.subarray(0, 400)].map((byte) => Buffer.from([byte])).concat([stream.subarray(400)])), expected)
  t.equal(read([stream.subarray(0, 7)]).isAtBoundary, false)
  for (const bad of [
    frame(3, Buffer.alloc(1), { mask }),
    frame(1, Buffer.alloc(1)),
    frame(9, Buffer.alloc(1), { mask, fin: false }),
    frame(9, Buffer.alloc(126), { mask }),
    Buffer.from([0xc1, 0x80, 0, 0, 0, 0]),
    Buffer.from([0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]),
  ])
    t.throws(() => read([bad]), MalformedMessage)
  for (let i = 0; i < 500; i++) {
    try {
      read([randomBytes(64), randomBytes(64)])
    } catch (failure) {
      if (!(failure instanceof MalformedMessage)) throw failure
    }
  }
  const close = closeFrame(1008, 'ä'.repeat(300))
  t.ok(close.length <= 127 && close[1] === close.length - 2)
  t.notMatch(close.subarray(4).toString(), /\ufffd/)
})

await t.test(
  'through the wire: denied is said, recorded, and does not arrive; a page for people, JSON for programs',
  async (t) => {
    const seen: string[] = []
    const app = createServer((request, response) => {
      request.resume()
      seen.push(`${request.method} ${request.url}`)
      response.end('ok')
    })
    await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
    t.teardown(() => {
      app.closeAllConnections()
      app.close()
    })
    const url = `http://127.0.0.1:${(app.address() as AddressInfo).port}`
    const world = await webWorld(t, [webTarget('prod-web', { url }), webTarget('api-web', { url })])
    await world.live('viewer')
    const viewer = await world.cookie()
    const send = (line: string, more = '', target = 'prod-web', cookie = viewer) =>
      world.raw(`${line} HTTP/1.1\r\nHost: ${target}.localhost:${world.port}\r\nCookie: ${cookie}\r\n${more}\r\n`, 150)
    seen.length = 0
    t.match(await send('GET /x'), /^HTTP\/1\.1 200/)
    const post = await send('POST /x', 'Content-Length: 0\r\n')
    t.match(
      post,
      /^HTTP\/1\.1 403 [\s\S]*application\/json[\s\S]*"code":"READ_ONLY","message":"This role may only look: POST is refused\."/,
    )
    const page = await send('DELETE /x', 'Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n')
    t.match(
      page,
      /^HTTP\/1\.1 403 [\s\S]*text\/html[\s\S]*content-security-policy|content-security-policy[\s\S]*text\/html/i,
    )
    t.match(page, /This role may only look: DELETE is refused/)
    const ws = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: ${world.originOf('prod-web')}\r\n`
    t.match(await send('GET /ws', ws), /^HTTP\/1\.1 403 [\s\S]*may not open WebSockets/)
    t.same(seen, ['GET /x'])
    const tape = world.recorder.tapes.find(({ start }) => start.role === 'viewer')
    t.match(tape === undefined ? [] : requestsOf(tape).slice(1), [
      { statement: { text: 'GET /x', verdict: { decision: 'allow' } }, outcome: { result: 'done' } },
      { statement: { text: 'POST /x', verdict: { decision: 'deny', reason: /only look/ } }, outcome: undefined },
      { statement: { text: 'DELETE /x', verdict: { decision: 'deny' } }, outcome: undefined },
      { statement: { text: 'GET /ws', verdict: { decision: 'deny' } }, outcome: undefined },
    ])
    await world.live('orders', 'api-web')
    const orders = await world.cookie('api-web')
    seen.length = 0
    const api = (line: string, more = '') => send(line, more, 'api-web', orders)
    t.match(await api('GET /api/a'), /^HTTP\/1\.1 200/)
    for (const path of ['/api/admin/x', '/api/%61dmin/x', '/api/ADMIN', '/other', '/api/%2561dmin'])
      t.match(await api(`GET ${path}`), /^HTTP\/1\.1 403/, path)
    t.match(await api('POST /api/a', 'Content-Length: 1001\r\n'), /^HTTP\/1\.1 413 [\s\S]*at most/)
    const chunks = `Transfer-Encoding: chunked\r\n\r\n3e8\r\n${'a'.repeat(1000)}\r\n5\r\nbbbbb\r\n0\r\n`
    t.match(await api('POST /api/a', chunks), /^HTTP\/1\.1 413/)
    t.same([...new Set(seen)], ['GET /api/a'])

    await t.test('a grant that was narrowed to looking writes nothing, by a WebSocket neither', async (t) => {
      await world.live('web', 'prod-web', 'alice', { readOnly: true })
      seen.length = 0
      let said = ''
      for (let i = 0; i < 60 && !said.includes('may not open WebSockets'); i++) said = await send('GET /ws', ws)
      t.match(said, /^HTTP\/1\.1 403 [\s\S]*may not open WebSockets/)
      t.match(await send('POST /x', 'Content-Length: 0\r\n'), /^HTTP\/1\.1 403 [\s\S]*READ_ONLY/)
      t.equal(world.recorder.tapes.at(-1)?.start.role, 'web')
      t.same(seen, [])
    })

    await t.test('a person who is locked is out at once; a session that is killed is one session', async (t) => {
      const [live] = await world.grants.liveSessions(world.identityOf('alice'))
      if (live === undefined) throw new Error('no session')
      const killed = world.recorder.tapes.find(({ start }) => start.id === live.id)
      await world.grants.kill({ ...world.identityOf('alice'), groups: ['admins'] }, live.id, 'looks odd')
      await until(() => killed?.end !== undefined, 'it has ended')
      t.match(killed?.end, { cause: 'cut', detail: /looks odd/ })
      t.match(await send('GET /again'), /^HTTP\/1\.1 200/, 'the grant stays')
      await world.signIn(world.browser(), world.people.bob)
      await world.grants.lock({ ...world.identityOf('bob'), groups: ['admins'] }, 'alice', 'phished')
      let said = ''
      for (let i = 0; i < 60 && !said.startsWith('HTTP/1.1 403'); i++) said = await send('GET /again')
      t.match(said, /^HTTP\/1\.1 403/)
    })
  },
)
