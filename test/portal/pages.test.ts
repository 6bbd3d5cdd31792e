/** Pages and the listener: what browsers are told, which files they get, which host name is whose, and how it all ends. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { connect } from 'node:tls'
import t from 'tap'
import type { Moment } from '../../gateway/model/moment.ts'
import { selfSignedCertificate } from '../../gateway/portal/portal.ts'
import { build, testPortal } from '../fixtures/portal.ts'
import { people } from '../fixtures/grants.ts'

const { alice } = people
const everybody = Object.values(people)

const masked = (policy: unknown) => String(policy).replaceAll(/'nonce-[A-Za-z0-9+/]{22}=='/g, "'nonce-N'")

t.test('browsers are told to trust little', async (t) => {
  const portal = await testPortal(t, everybody)
  await build(portal.dist)
  const browser = await portal.as(alice)
  const page = await browser.open(`${portal.origin}/grants`)
  t.equal(
    masked(page.headers['content-security-policy']),
    "default-src 'none'; script-src 'self' 'nonce-N'; style-src 'self' 'nonce-N'; img-src 'self' data:; " +
      "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  )
  const nonce = /'nonce-([^']+)'/.exec(String(page.headers['content-security-policy']))?.[1] ?? ''
  t.equal(page.text.split(`nonce="${nonce}"`).length, 3, 'the nonce of the header is in the page, at both places')
  t.notMatch(page.text, '__NONCE__')
  const again = await browser.open(`${portal.origin}/grants`)
  t.notMatch(again.text, nonce, 'and is new each time')

  const plain = await browser.open(`${portal.origin}/signed-out`)
  t.equal(
    masked(plain.headers['content-security-policy']),
    "default-src 'none'; style-src 'nonce-N'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  )
  const api = await browser.api(portal.origin, 'GET', '/me')
  t.equal(api.headers['content-security-policy'], "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
  for (const answer of [
    page,
    plain,
    api,
    await browser.open(`${portal.origin}/no.php`),
    await browser.open(`${portal.origin}/%zz`),
  ])
    t.match(
      answer.headers,
      {
        'strict-transport-security': 'max-age=31536000',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'permissions-policy': /camera=\(\)/,
        'x-frame-options': 'DENY',
        'cache-control': 'no-store',
      },
      answer.url,
    )
})

t.test('files of the console are served by name, and nothing beside them', async (t) => {
  const portal = await testPortal(t, everybody)
  await build(portal.dist)
  const browser = portal.browser()
  const script = await browser.open(`${portal.origin}/assets/main-1a2b3c.js`, {
    headers: { 'accept-encoding': 'gzip' },
  })
  t.match(script.headers, {
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'public, max-age=31536000, immutable',
    'content-encoding': 'gzip',
    vary: 'accept-encoding',
  })
  const again = await browser.open(script.url, {
    headers: { 'accept-encoding': 'gzip', 'if-none-match': script.headers.etag ?? '' },
  })
  t.equal(again.status, 304)
  t.match((await browser.open(script.url)).text, /^console\.log/, 'plain for who cannot unpack')
  t.equal(
    (await browser.open(`${portal.origin}/assets/main-4d5e6f.css`)).headers['content-type'],
    'text/css; charset=utf-8',
  )
  // By hand: clients tidy such paths up before they send them.
  for (const path of [
    '/assets/../../secret.js',
    '/../secret.js',
    '/assets/..%2f..%2fsecret.js',
    '/assets/%2e%2e/%2e%2e/secret.js',
    '/assets/..\\..\\secret.js',
    '/assets//../../secret.js',
    '/%2e%2e/secret.js',
    '/assets/main-1a2b3c.js%00.css',
    '//etc/passwd.js',
    '/index.html',
    '/assets/',
    '/assets/nothing.js',
  ]) {
    const answer = await raw(portal, `GET ${path} HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^HTTP\/1\.1 4\d\d /, path)
    t.notMatch(answer, 'never')
  }
})

t.test('a page of the console asks a stranger to sign in first and comes back to it', async (t) => {
  const portal = await testPortal(t, everybody)
  await build(portal.dist)
  const browser = portal.browser()
  const asked = await browser.open(`${portal.origin}/approve/abc123?from=mail`, { redirects: 0 })
  t.equal(asked.headers.location, '/sign-in?returnTo=%2Fapprove%2Fabc123%3Ffrom%3Dmail')
  await browser.open(`${portal.origin}${asked.headers.location}`, { redirects: 0 })
  const back = await browser.open(`${portal.origin}/callback?as=alice`)
  t.equal(back.url, `${portal.origin}/approve/abc123?from=mail`)
  t.equal(back.headers['content-type'], 'text/html; charset=utf-8')
})

t.test('without a build there is a page that says how to make one', async (t) => {
  const portal = await testPortal(t, everybody)
  const page = await (await portal.as(alice)).open(`${portal.origin}/`)
  t.equal(page.status, 503)
  t.match(page.text, 'npm run build')
})

t.test('several providers: the person chooses', async (t) => {
  const portal = await testPortal(t, everybody)
  const providers = [
    { name: 'dev', title: 'Development' },
    { name: 'corp', title: 'Corp <b>&</b> Sons' },
  ]
  const two = await testPortal(t, everybody, async () => ({ identity: { ...portal.identity, providers } }))
  const page = await two.browser().open(`${two.origin}/sign-in?returnTo=/grants`)
  t.equal(page.status, 200)
  t.match(page.text, '/sign-in?provider=corp&#38;returnTo=%2Fgrants')
  t.notMatch(page.text, '<b>', 'titles are text')
})

t.test('the listener gives each host name to its owner', async (t) => {
  const portal = await testPortal(t, everybody)
  const get = (host: string, more = '') =>
    raw(portal, `GET /signed-out HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${more}\r\n`)
  t.match(await get(`gateway.example:${portal.port}`), /^HTTP\/1\.1 200 /)
  t.match(await get('GATEWAY.example'), /^HTTP\/1\.1 200 /)
  t.match(await get('grafana.gateway.example'), /^HTTP\/1\.1 421 /)
  t.match(await get('127.0.0.1'), /^HTTP\/1\.1 421 /)
  t.match(await get('gateway.example@evil.example'), /^HTTP\/1\.1 421 /)
  const upgrade = 'Upgrade: websocket\r\n'
  t.match(
    await raw(portal, `GET / HTTP/1.1\r\nHost: gateway.example\r\nConnection: upgrade\r\n${upgrade}\r\n`),
    /^HTTP\/1\.1 404 /,
  )
  const heard: string[] = []
  const next = await testPortal(t, everybody, async () => ({
    elsewhere: {
      request: (request, response) => {
        heard.push(`request ${request.headers.host}`)
        response.end('grafana')
      },
      upgrade: (request, socket) => {
        heard.push(`upgrade ${request.headers.host}`)
        socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      },
      stream: (stream, fields) => {
        heard.push(`stream ${fields[fields.indexOf(':authority') + 1]}`)
        stream.respond()
        stream.end('grafana')
      },
    },
  }))
  t.match(await raw(next, 'GET / HTTP/1.1\r\nHost: grafana.gateway.example\r\nConnection: close\r\n\r\n'), 'grafana')
  t.match(
    await raw(next, `GET / HTTP/1.1\r\nHost: grafana.gateway.example\r\nConnection: upgrade\r\n${upgrade}\r\n`),
    /^HTTP\/1\.1 101 /,
  )
  t.same(heard, ['request grafana.gateway.example', 'upgrade grafana.gateway.example'])
})

t.test('a request that does not arrive is cut off, an event stream goes on, over either HTTP', async (t) => {
  const portal = await testPortal(t, everybody, async (settings) => ({ settings: { ...settings, requestMs: 300 } }))
  const cookie = `__Host-sallyport=${(await portal.as(alice)).cookie('gateway.example', '__Host-sallyport')?.value}`
  const session = connectHttp2(`https://127.0.0.1:${portal.port}`, { ca: portal.ca, servername: 'gateway.example' })
  t.teardown(() => session.destroy())
  const authority = `gateway.example:${portal.port}`
  const stream = session.request({ ':authority': authority, ':path': '/api/v1/changes', cookie })
  let beats = 0
  stream.on('data', () => (beats += 1))
  const socket = connect({ host: '127.0.0.1', port: portal.port, servername: 'gateway.example', ca: portal.ca })
  t.teardown(() => socket.destroy())
  socket.write(`GET /api/v1/changes HTTP/1.1\r\nHost: ${authority}\r\nCookie: ${cookie}\r\n\r\n`)
  let said = ''
  socket.on('data', (chunk: Buffer) => (said += chunk.toString()))
  // Without a sign-in, and read before anything is answered.
  const half = { path: '/backchannel-logout', type: 'application/x-www-form-urlencoded' }
  const slow = session.request({
    ':authority': authority,
    ':path': half.path,
    ':method': 'POST',
    'content-type': half.type,
  })
  const { promise: cut, resolve } = Promise.withResolvers<unknown>()
  slow.on('error', () => undefined)
  slow.on('response', () => resolve('answered'))
  slow.once('close', () => resolve('cut'))
  slow.resume()
  slow.write('logout_')
  t.equal(await cut, 'cut')
  const head = `POST ${half.path} HTTP/1.1\r\nHost: ${authority}\r\nContent-Type: ${half.type}\r\nContent-Length: 9\r\n\r\n`
  t.equal(await raw(portal, `${head}l`), '')
  // Well past the time of a request.
  const [before, saidBefore] = [beats, said.length]
  await new Promise((resolve) => setTimeout(resolve, 400))
  t.ok(beats > before + 2, 'over HTTP/2')
  t.ok(said.length > saidBefore && !socket.closed, 'over HTTP/1.1')
})

t.test('a new certificate is taken without a restart, a wrong one is not taken', async (t) => {
  const portal = await testPortal(t, everybody)
  const shown = async () => {
    const socket = connect({
      host: '127.0.0.1',
      port: portal.port,
      servername: 'gateway.example',
      rejectUnauthorized: false,
    })
    await once(socket, 'secureConnect')
    const { fingerprint256 } = socket.getPeerCertificate()
    const protocol = socket.getProtocol()
    socket.destroy()
    return `${protocol} ${fingerprint256}`
  }
  const clock = { now: () => Date.now() as Moment }
  const [first, second] = [await shown(), selfSignedCertificate({ names: ['gateway.example'], clock })]
  portal.renew(second)
  t.equal(await shown(), `TLSv1.3 ${new X509Certificate(second.cert).fingerprint256}`)
  t.not(await shown(), first)
  const other = selfSignedCertificate({ names: [], clock })
  t.throws(() => portal.renew({ key: other.key, cert: second.cert }))
  t.equal(await shown(), `TLSv1.3 ${new X509Certificate(second.cert).fingerprint256}`)
  const old = connect({
    host: '127.0.0.1',
    port: portal.port,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    ciphers: 'DEFAULT@SECLEVEL=0',
    rejectUnauthorized: false,
  })
  await t.rejects(once(old, 'secureConnect'), 'nothing older than TLS 1.2')
})

t.test('closing the portal ends everything that is connected', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const stream = browser.stream(`${portal.origin}/api/v1/changes`)
  await stream.next()
  const silent = connectTcp({ host: '127.0.0.1', port: portal.port })
  const idle = connect({ host: '127.0.0.1', port: portal.port, ca: portal.ca, servername: 'gateway.example' })
  await Promise.all([once(silent, 'connect'), once(idle, 'secureConnect')])
  const gone = [once(silent, 'close'), once(idle, 'close')]
  await portal.close()
  await Promise.all(gone)
  while ((await stream.next()).done !== true);
  t.pass('the stream has ended, and so have an idle connection and one that never said a word')
})

/** One request, byte for byte; everything that comes back. */
async function raw(portal: { readonly port: number; readonly ca: string }, text: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: portal.port, ca: portal.ca, servername: 'gateway.example' })
  socket.write(text)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('latin1')
}
