/** What arrives at a target, to the byte, when somebody sends what they should not: smuggling, forged identities, paths with two readings. */
import { createPublicKey, randomBytes, randomInt, verify } from 'node:crypto'
import { createServer, type Socket, type AddressInfo } from 'node:net'
import t from 'tap'
import { Assertions } from '../../gateway/http/assertion.ts'
import { handClock } from '../fixtures/state.ts'
import { webTarget, webWorld } from '../fixtures/web-door.ts'

/** Shows exactly what arrived, on which connection, and answers each request with two bytes. */
const arrived: { readonly socket: number; text: string }[] = []
let connections = 0
const upstream = createServer((socket: Socket) => {
  const entry = { socket: (connections += 1), text: '' }
  socket.on('error', () => undefined)
  let quiet: NodeJS.Timeout | undefined
  socket.on('data', (chunk: Buffer) => {
    if (!arrived.includes(entry)) {
      entry.text = ''
      arrived.push(entry)
    }
    entry.text += chunk.toString('latin1')
    clearTimeout(quiet)
    quiet = setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 15)
  })
})
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
t.teardown(() => upstream.close())
const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
const world = await webWorld(t, [
  webTarget('prod-web', { url }),
  webTarget('plain-web', { url, identityHeaders: true, requestHeaders: ['x-api-*'], hostHeader: 'target' }),
  webTarget('slash-web', { url, encodedSlashes: true }),
  webTarget('basic-web', { url, credential: { kind: 'basic', username: 'svc', password: 'env:WEB_PASSWORD' } }),
  webTarget('bearer-web', {
    url,
    credential: { kind: 'bearer', token: 'env:WEB_TOKEN' },
    requestHeaders: ['authorization'],
  }),
])
const cookies = new Map<string, string>()
for (const target of ['prod-web', 'plain-web', 'slash-web', 'basic-web', 'bearer-web']) {
  await world.live('web', target)
  cookies.set(target, await world.cookie(target))
}

/** `head` has neither Host nor cookie; both are put in after the first line. */
async function send(
  head: string,
  body = '',
  target = 'prod-web',
): Promise<{ readonly said: string; readonly got: string }> {
  arrived.length = 0
  const [line = '', ...rest] = head.split('\r\n')
  const host = `Host: ${target}.localhost:${world.port}`
  const text = [line, host, `Cookie: a=1; ${cookies.get(target)}; b=2`, ...rest].join('\r\n')
  const said = await world.raw(Buffer.from(`${text}\r\n\r\n${body}`, 'latin1'), 150)
  return { said, got: arrived.map((entry) => entry.text).join('\n---\n') }
}
const allowed = (target: string) => (target === 'plain-web' ? /^x-api-version$/ : /^$/)
const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
const status = (said: string): string => said.slice(9, 12)
const requestLines = (got: string): readonly string[] => got.match(/^[A-Z]+ \S+ HTTP\/1\.1\r?$/gm) ?? []
const hidden = 'GET /smuggled HTTP/1.1\r\nHost: internal\r\nX-Forwarded-User: root\r\n\r\n'
const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`

await t.test('a body is a body, whatever the method', async (t) => {
  for (const method of ['DELETE', 'OPTIONS', 'GET', 'POST', 'PATCH']) {
    const { said, got } = await send(`${method} /d HTTP/1.1\r\nTransfer-Encoding: chunked`, chunked(hidden))
    t.equal(status(said), '200', method)
    t.equal(arrived.length, 1, `${method}: one connection`)
    const [head = '', ...after] = got.split('\r\n\r\n')
    const framing = head.match(/^(content-length|transfer-encoding):.*$/gim) ?? []
    t.equal(framing.length, 1, `${method}: one framing header`)
    const [length] = /^content-length: (\d+)$/im.exec(head)?.slice(1) ?? []
    const body = after.join('\r\n\r\n')
    if (length === undefined) t.match(body, /^\r?\n?4\w\r\n[\s\S]*\r\n0\r\n\r\n$/, `${method}: chunked to its end`)
    else t.equal(Number(length), body.length, `${method}: no byte after the declared end`)
  }
  const plain = await send('DELETE /d HTTP/1.1\r\nContent-Length: 5', 'hello')
  t.match(plain.got, /\r\ncontent-length: 5\r\n\r\nhello$/i)
  const nothing = await send('DELETE /d HTTP/1.1')
  t.notMatch(nothing.got, /content-length|transfer-encoding/i)
})

await t.test('what hides in a body does not run, nor on the connection of the next person', async (t) => {
  const { said } = await send('OPTIONS /x HTTP/1.1\r\nTransfer-Encoding: chunked', chunked(hidden))
  t.equal(said.split('HTTP/1.1 200').length, 2, 'one answer')
  const hers = arrived.map(({ socket }) => socket)
  await world.live('web', 'prod-web', 'erin')
  const erin = await world.cookie('prod-web', world.people.erin)
  arrived.length = 0
  await world.raw(`GET /mine HTTP/1.1\r\nHost: prod-web.localhost:${world.port}\r\nCookie: ${erin}\r\n\r\n`, 100)
  t.equal(arrived.length, 1)
  t.notOk(hers.includes(arrived[0]?.socket ?? -1), 'a connection of her own')
  t.match(arrived[0]?.text, /^GET \/mine HTTP/)
})

await t.test('messages that two readers could cut in two ways are refused, and nothing arrives', async (t) => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['length and chunks', 'POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3', chunked('abc')],
    ['two lengths', 'POST /c HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3', 'abc'],
    ['two different lengths', 'POST /c HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 5', 'abcde'],
    ['a list of lengths', 'POST /c HTTP/1.1\r\nContent-Length: 3, 3', 'abc'],
    ['a signed length', 'POST /c HTTP/1.1\r\nContent-Length: +3', 'abc'],
    ['another coding', 'POST /c HTTP/1.1\r\nTransfer-Encoding: gzip, chunked', chunked('abc')],
    ['chunked twice', 'POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked', chunked('abc')],
    ['a coding with a tail', 'POST /c HTTP/1.1\r\nTransfer-Encoding: chunked, identity', chunked('abc')],
    ['a vertical tab in the coding', 'POST /c HTTP/1.1\r\nTransfer-Encoding: \x0bchunked', chunked('abc')],
    ['a folded header', 'GET /c HTTP/1.1\r\nX-A: 1\r\n Transfer-Encoding: chunked', ''],
    ['a blank before the colon', 'POST /c HTTP/1.1\r\nContent-Length : 3', 'abc'],
    ['a second Host', 'GET /c HTTP/1.1\r\nHost: internal', ''],
    ['a NUL in a value', 'GET /c HTTP/1.1\r\nX-A: a\x00b', ''],
    ['HTTP/1.0', 'GET /c HTTP/1.0', ''],
    ['TRACE', 'TRACE /c HTTP/1.1', ''],
    [
      'h2c',
      'GET /c HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
      '',
    ],
    ['too many headers', `GET /c HTTP/1.1\r\n${Array.from({ length: 120 }, (_, i) => `X-${i}: 1`).join('\r\n')}`, ''],
    ['headers that are too large', `GET /c HTTP/1.1\r\nX-A: ${'a'.repeat(20_000)}`, ''],
    ['an address that is too long', `GET /${'a'.repeat(9000)} HTTP/1.1`, ''],
  ]
  for (const [name, head, body] of cases) {
    const { said, got } = await send(head, body)
    t.match(status(said), /^4\d\d$/, name)
    t.equal(got, '', `${name}: nothing arrived`)
  }
  arrived.length = 0
  const bare = await world.raw(
    `GET /x HTTP/1.1\nHost: prod-web.localhost:${world.port}\nCookie: ${cookies.get('prod-web')}\n\n`,
    150,
  )
  t.match(bare, /^HTTP\/1\.1 400/, 'bare line feeds')
  const connect = await world.raw(
    `CONNECT prod-web.localhost:${world.port} HTTP/1.1\r\nHost: prod-web.localhost:${world.port}\r\n\r\n`,
    150,
  )
  t.notMatch(connect, /^HTTP\/1\.1 2/, 'CONNECT')
  t.equal(arrived.length, 0)
})

await t.test('who asks before sending is asked to send only what will be sent on', async (t) => {
  const head = 'Content-Length: 5\r\nExpect: 100-continue'
  const yes = await send(`POST /up HTTP/1.1\r\n${head}`, 'hello')
  t.match(yes.said, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
  t.match(yes.got, /hello$/)
  t.notMatch(yes.got, /expect/i)
  for (const line of ['POST //up', 'POST /.sallyport/x']) {
    const no = await send(`${line} HTTP/1.1\r\n${head}`)
    t.match(no.said, /^HTTP\/1\.1 4\d\d /, line)
    t.notMatch(no.said, /100 Continue/)
    t.equal(no.got, '')
  }
  t.match((await send('POST /up HTTP/1.1\r\nContent-Length: 5\r\nExpect: magic', 'hello')).said, /^HTTP\/1\.1 417 /)
})

await t.test(
  'the path that is judged is byte for byte the path that is sent; what has two readings is refused',
  async (t) => {
    for (const path of [
      '/',
      '/a/b',
      '/a/b/',
      '/a%20b',
      '/%C3%A4?q=%zz&u=https://x//y/../z',
      '/a;v=1/b',
      '/x?a[]=1|2^{3}"<>\\',
      '/a%25b',
      "/it's(ok)!*",
      '/~u/@me:1,2&3=4$+',
    ]) {
      const { got } = await send(`GET ${path} HTTP/1.1`)
      t.equal(requestLines(got)[0], `GET ${path} HTTP/1.1\r`, path)
    }
    for (const path of [
      'http://169.254.169.254/latest',
      `https://prod-web.localhost:${world.port}/abs`,
      '//evil.example/x',
      '/a//b',
      '/a/../b',
      '/a/..',
      '/./a',
      '/a/..;/b',
      '/a/%2e%2e/b',
      '/a/.%2E/b',
      '/a%2fb',
      '/a%5Cb',
      '/a\\b',
      '/a#b',
      '/a%00b',
      '/a%0d%0ab',
      '/a%7fb',
      '/a%zz',
      '/a<b',
      '/\xe4',
      '*',
      'a',
    ]) {
      const { said, got } = await send(`GET ${path} HTTP/1.1`)
      t.match(status(said), /^400$/, JSON.stringify(path))
      t.equal(got, '', `${JSON.stringify(path)}: nothing arrived`)
    }
    const let_in = await send('GET /a%2Fb%5cc HTTP/1.1', '', 'slash-web')
    t.equal(requestLines(let_in.got)[0], 'GET /a%2Fb%5cc HTTP/1.1\r', 'where the config lets encoded slashes in')
    const dots = await send('GET /a%2f..%2fb HTTP/1.1', '', 'slash-web')
    t.equal(status(dots.said), '400', 'but never as a way up')
  },
)

await t.test('nobody can say who they are but the gateway', async (t) => {
  const forged = [
    'X-Forwarded-User: root',
    'x_forwarded_user: root',
    'X-FORWARDED_USER: root',
    'X-Forwarded-For: 6.6.6.6',
    'X-Forwarded-Host: evil.example',
    'x-forwarded-proto: http',
    'X-Forwarded-Groups: admins',
    'X-Forwarded-Anything: 1',
    'Forwarded: for=6.6.6.6',
    'X-Real-IP: 6.6.6.6',
    'X_Real_IP: 6.6.6.6',
    'Via: 1.1 evil',
    'Sallyport-Assertion: forged',
    'sallyport_assertion: forged',
    'SALLYPORT-Anything: forged',
    'Proxy-Authorization: Basic eA==',
    'Proxy-Anything: 1',
    'Remote-User: root',
    'X-Remote-User: root',
    'X-WebAuth-User: root',
    'X-Auth-Request-Email: root',
    'X-HTTP-Method-Override: DELETE',
    'Authorization: Basic cm9vdDpyb290',
    'Keep-Alive: timeout=5',
    'TE: trailers',
    'Trailer: X-Forwarded-User',
    'X-Api-Version: 3',
  ]
  for (const target of ['prod-web', 'plain-web'])
    for (const first of ['GET /who HTTP/1.1', 'POST /who HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3']) {
      const { got, said } = await send(
        `${first}\r\n${forged.join('\r\n')}`,
        first.startsWith('POST') ? 'abc' : '',
        target,
      )
      t.match(said, /HTTP\/1\.1 200/)
      const names = [...got.matchAll(/^([^\s:]+): (.*)\r$/gm)].map(
        ([, name = '', value = '']) => [name.toLowerCase(), value] as const,
      )
      const known = new Map(names)
      t.equal(known.size, names.length, 'no name twice')
      const identity = target === 'plain-web' ? ['x-forwarded-user', 'x-forwarded-groups'] : []
      const expected = [
        'host',
        'connection',
        'cookie',
        'sallyport-assertion',
        'x-forwarded-for',
        'x-forwarded-host',
        'x-forwarded-proto',
        ...identity,
      ]
      const rest = names
        .map(([name]) => name)
        .filter((name) => !expected.includes(name) && name !== 'content-length' && !allowed(target).test(name))
      t.same(rest, [], 'nothing else of theirs')
      t.equal(known.get('x-forwarded-for'), '127.0.0.1')
      t.equal(known.get('x-forwarded-host'), `${target}.localhost:${world.port}`)
      t.equal(known.get('host'), target === 'plain-web' ? new URL(url).host : `${target}.localhost:${world.port}`)
      t.equal(known.get('cookie'), 'a=1; b=2', 'and no cookie of ours')
      if (target === 'plain-web')
        t.match(Object.fromEntries(known), {
          'x-forwarded-user': 'alice',
          'x-forwarded-groups': 'engineers',
          'x-api-version': '3',
        })
      t.notMatch(got, /root|forged|6\.6\.6\.6|evil|admins|DELETE/)
    }
  const ws = await send(
    `GET /ws HTTP/1.1\r\nConnection: Upgrade, X-Forwarded-For, Sallyport-Assertion\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: ${world.originOf('prod-web')}\r\n${forged.join('\r\n')}`,
  )
  t.match(ws.got, /\r\nsallyport-assertion: ey/i, 'a WebSocket as well')
  t.match(ws.got, /\r\nx-forwarded-for: 127\.0\.0\.1\r\n/i)
  t.notMatch(ws.got, /root|forged|6\.6\.6\.6|evil/)
})

await t.test('headers named by Connection go no further, and cannot take ours along', async (t) => {
  const { got } = await send(
    'GET /h HTTP/1.1\r\nConnection: keep-alive, X-Request-Id, Sallyport-Assertion, X-Forwarded-For, Cookie\r\nX-Request-Id: 7\r\nX-Correlation-Id: 8',
  )
  t.notMatch(got, /x-request-id/i)
  t.match(got, /x-correlation-id: 8/i)
  t.match(got, /\r\nsallyport-assertion: ey/i)
  t.match(got, /\r\nx-forwarded-for: 127/i)
  t.match(got, /\r\nconnection: keep-alive\r\n/i)
})

await t.test('a trailer is no header', async (t) => {
  const { got } = await send(
    'POST /t HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: Sallyport-Assertion',
    '3\r\nabc\r\n0\r\nSallyport-Assertion: forged\r\nX-Forwarded-User: root\r\n\r\n',
  )
  t.notMatch(got, /forged|root/)
})

await t.test('credentials by reference are put in, and those of the person are not', async (t) => {
  const basic = await send('GET / HTTP/1.1\r\nAuthorization: Bearer my-own-secret', '', 'basic-web')
  t.match(
    basic.got,
    new RegExp(`\\r\\nauthorization: Basic ${Buffer.from('svc:s3cret').toString('base64')}\\r\\n`, 'i'),
  )
  const bearer = await send('GET / HTTP/1.1\r\nAuthorization: Bearer my-own-secret', '', 'bearer-web')
  t.match(bearer.got, /\r\nauthorization: Bearer t0ken\r\n/i)
  t.notMatch(basic.got + bearer.got, /my-own-secret/)
  t.notMatch(JSON.stringify([world.recorder.tapes, world.logged]), /s3cret|t0ken|my-own-secret/)
})

await t.test('the assertion is signed, for a minute and for one target, by a key that the portal shows', async (t) => {
  const { got } = await send('GET /who HTTP/1.1')
  const token = /sallyport-assertion: (\S+)/i.exec(got)?.[1] ?? ''
  const [head = '', claims = '', signature = ''] = token.split('.')
  t.match(decode(head), { alg: 'ES256', typ: 'JWT' })
  const about = decode(claims)
  t.match(about, {
    iss: world.origin,
    aud: 'prod-web',
    preferred_username: 'alice',
    groups: ['engineers'],
    grant: /^\d+$/,
    jti: /^[\w-]{36}$/,
  })
  t.equal(about.exp - about.iat, 60)
  t.match(about.sub, /\|/)
  const { keys } = (await world.browser().open(`${world.origin}/.well-known/jwks.json`)).json()
  const jwk = keys.find(({ kid }: { kid: string }) => kid === decode(head).kid)
  t.notOk(jwk.d, 'only the public half')
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  t.ok(
    verify(
      'sha256',
      Buffer.from(`${head}.${claims}`),
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    ),
  )
  const kept = JSON.stringify(world.recorder.tapes)
  t.match(kept, about.jti, 'the recording names it')
  t.notMatch(kept, signature, 'and does not have it')
})

await t.test('keys change daily, and the old one is known a little longer', async (t) => {
  const clock = handClock()
  const published: { kid: string; expiresAt: number }[] = []
  const assertions = new Assertions({
    clock,
    issuer: world.origin,
    sessions: { publishKey: async (kid, _, expiresAt) => void published.push({ kid, expiresAt }) },
  })
  const kid = async () => {
    const { token } = await assertions.about(world.identityOf('alice'), 'prod-web', '1')
    return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid
  }
  const first = await kid()
  t.equal(await kid(), first)
  clock.move(24 * 3_600_000 + 1)
  t.not(await kid(), first)
  t.equal(published.length, 2)
  t.ok((published[0]?.expiresAt ?? 0) > clock.now() + 60_000)
})

await t.test('pages of other targets reach nothing here', async (t) => {
  const from = async (lines: string, first = 'POST /x HTTP/1.1\r\nContent-Length: 0') => {
    const { said, got } = await send(`${first}\r\n${lines}`)
    return got === '' ? status(said) : 'sent'
  }
  const own = world.originOf('prod-web')
  t.equal(await from(`Origin: ${own}\r\nSec-Fetch-Site: same-origin`), 'sent')
  t.equal(await from(''.padEnd(0)), 'sent', 'a program that is no browser')
  t.equal(await from('Origin: null\r\nSec-Fetch-Site: same-origin'), 'sent', 'a page that tells no referrer')
  for (const origin of [
    'null',
    'https://evil.example',
    world.originOf('plain-web'),
    world.origin,
    own.replace(/:\d+$/, ':1'),
    `${own}.evil.example`,
    own.replace('https', 'http'),
  ]) {
    t.equal(await from(`Origin: ${origin}`), '403', origin)
    t.equal(await from(`Origin: ${origin}\r\nSec-Fetch-Site: same-site`), '403', origin)
    const ws = `GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==`
    t.equal(await from(`Origin: ${origin}`, ws), '403', `WebSocket from ${origin}`)
  }
  const none = await send(
    'GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  )
  t.equal(status(none.said), '403', 'a WebSocket says where it comes from')
  t.equal(
    await from('Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors', 'GET /x HTTP/1.1'),
    '403',
    'a script or picture for a sibling',
  )
  t.equal(
    await from('Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate', 'GET /x HTTP/1.1'),
    'sent',
    'a link from anywhere',
  )
})

await t.test('rubbish ends its own connection and nothing else', async (t) => {
  const good = `POST /x?y=1 HTTP/1.1\r\nHost: prod-web.localhost:${world.port}\r\nCookie: ${cookies.get('prod-web')}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`
  const attempts = Array.from({ length: 120 }, (_, i) => {
    const bytes = Buffer.from(good)
    for (let n = 0; n < 1 + (i % 7); n++) bytes[randomInt(bytes.length)] = randomInt(256)
    return i % 10 === 0 ? randomBytes(500) : bytes.subarray(0, i % 3 === 0 ? randomInt(bytes.length) : bytes.length)
  })
  for (let i = 0; i < attempts.length; i += 20)
    await Promise.all(attempts.slice(i, i + 20).map((bytes) => world.raw(bytes, 30)))
  const { said, got } = await send('GET /after HTTP/1.1')
  t.equal(status(said), '200')
  t.match(got, /^GET \/after HTTP/)
  t.same(
    world.logged.filter(({ level, room }) => level === 'error' && room === 'http'),
    [],
  )
})
