/** The certificate that the gateway makes for itself: read by OpenSSL, checked by Node, trusted by Chromium. */
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import { chromium } from 'playwright-core'
import t from 'tap'
import type { Clock, Moment } from '../../gateway/model/moment.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { selfSignedCertificate } from '../../gateway/portal/portal.ts'

const run = promisify(execFile)
const CHROMIUM = '/usr/bin/chromium'
const CERTUTIL = '/usr/bin/certutil'
const isThere = async (program: string, ...args: string[]) =>
  run(program, args).then(
    () => true,
    () => false,
  )

async function folderFor(t: { teardown(work: () => unknown): unknown }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-certificate-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

t.test('it says what browsers ask for', async (t) => {
  const made = selfSignedCertificate({ names: ['gateway.example', '[2001:db8::1:2]', '10.0.0.7'], clock: wallClock })
  const certificate = new X509Certificate(made.cert)
  t.equal(certificate.subject, 'CN=gateway.example')
  t.equal(
    certificate.subjectAltName,
    'DNS:gateway.example, IP Address:2001:DB8:0:0:0:0:1:2, IP Address:10.0.0.7, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
  )
  t.ok(certificate.verify(certificate.publicKey), 'signed by its own key')
  t.equal(certificate.ca, false, 'and cannot sign others')
  t.ok(certificate.checkHost('localhost'))
  t.ok(certificate.checkIP('::1'))
  t.same(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1'])
  const days = (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / 86_400_000
  t.ok(days <= 398, 'not longer than browsers take')
  t.ok(certificate.validFromDate.getTime() < Date.now())
  t.match(made.key, /^-----BEGIN PRIVATE KEY-----\n/)
})

t.test('no two are alike, and each parses', async (t) => {
  const serials = new Set<string>()
  // Lengths in DER change with leading bits: many keys, many names.
  for (let n = 1; n <= 40; n += 1) {
    const names = Array.from({ length: n }, (_, i) => `${'x'.repeat(n)}-${i}.gateway.example`)
    const certificate = new X509Certificate(selfSignedCertificate({ names, clock: wallClock }).cert)
    t.ok(certificate.verify(certificate.publicKey) && certificate.checkHost(names.at(-1) ?? ''))
    serials.add(certificate.serialNumber)
  }
  t.equal(serials.size, 40)
})

t.test('a name that no certificate can carry is refused', async (t) => {
  for (const name of ['', 'a b', 'gateway.example/', 'evil\u0000.example', '*', 'a.*.example', 'x'.repeat(300), '-a'])
    t.throws(() => selfSignedCertificate({ names: [name], clock: wallClock }), TypeError, JSON.stringify(name))
})

t.test('it is dated right after the year 2049, too', async (t) => {
  const later: Clock = { now: () => Date.UTC(2051, 5, 1) as Moment }
  const certificate = new X509Certificate(selfSignedCertificate({ names: [], clock: later }).cert)
  t.equal(certificate.validFromDate.toISOString(), '2051-05-31T00:00:00.000Z')
})

const noOpenssl = (await isThere('openssl', 'version')) ? false : 'openssl is not installed'

t.test('OpenSSL reads it and verifies it strictly', { skip: noOpenssl }, async (t) => {
  const folder = await folderFor(t)
  const { cert, key } = selfSignedCertificate({ names: ['gateway.example'], clock: wallClock })
  await writeFile(join(folder, 'cert.pem'), cert)
  await writeFile(join(folder, 'key.pem'), key, { mode: 0o600 })
  const { stdout } = await run('openssl', ['x509', '-in', join(folder, 'cert.pem'), '-noout', '-text'])
  t.match(stdout, 'Signature Algorithm: ecdsa-with-SHA256')
  t.match(stdout, 'X509v3 Subject Alternative Name')
  t.match(stdout, /X509v3 Key Usage: critical\s+Digital Signature/)
  const strict = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', join(folder, 'cert.pem')]
  for (const name of ['gateway.example', 'localhost'])
    t.match((await run('openssl', [...strict, '-verify_hostname', name, join(folder, 'cert.pem')])).stdout, ': OK')
  await t.rejects(run('openssl', [...strict, '-verify_hostname', 'evil.example', join(folder, 'cert.pem')]))
})

t.test('Node trusts it once it is told to, under its own names only', async (t) => {
  const { cert, key } = selfSignedCertificate({ names: ['gateway.example'], clock: wallClock })
  const port = await serve(t, { cert, key })
  const reach = (servername: string, ca: string | undefined) =>
    new Promise<string>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, servername, ...(ca === undefined ? {} : { ca }) }, () => {
        resolve('trusted')
        socket.destroy()
      })
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
    })
  t.equal(await reach('gateway.example', cert), 'trusted')
  t.equal(await reach('evil.example', cert), 'ERR_TLS_CERT_ALTNAME_INVALID')
  t.equal(await reach('gateway.example', undefined), 'DEPTH_ZERO_SELF_SIGNED_CERT')
})

const noChromium = existsSync(CHROMIUM) && existsSync(CERTUTIL) ? false : 'chromium or certutil is not installed'

t.test('Chromium opens a page under it without a warning', { skip: noChromium }, async (t) => {
  const folder = await folderFor(t)
  const { cert, key } = selfSignedCertificate({ names: [], clock: wallClock })
  const port = await serve(t, { cert, key })
  await writeFile(join(folder, 'cert.pem'), cert)
  const store = `sql:${join(folder, '.pki', 'nssdb')}`
  await mkdir(join(folder, '.pki', 'nssdb'), { recursive: true })
  await run(CERTUTIL, ['-d', store, '-N', '--empty-password'])
  const open = async () => {
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu'],
      env: { ...process.env, HOME: folder },
    })
    try {
      const page = await browser.newPage()
      const seen: string[] = []
      for (const host of ['localhost', '127.0.0.1'])
        seen.push(
          await page.goto(`https://${host}:${port}/`).then(
            async () => await page.locator('body').innerText(),
            (error: Error) => /ERR_[A-Z_]+/.exec(error.message)?.[0] ?? error.message,
          ),
        )
      return seen
    } finally {
      await browser.close()
    }
  }
  t.same(
    await open(),
    ['ERR_CERT_AUTHORITY_INVALID', 'ERR_CERT_AUTHORITY_INVALID'],
    'a stranger at first, and nothing worse',
  )
  await run(CERTUTIL, ['-d', store, '-A', '-n', 'sallyport', '-t', 'P,,', '-i', join(folder, 'cert.pem')])
  t.same(await open(), ['hello', 'hello'])
})

async function serve(
  t: { teardown(work: () => unknown): unknown },
  tls: { readonly cert: string; readonly key: string },
): Promise<number> {
  const server = createServer(tls, (_, response) => response.setHeader('content-type', 'text/html').end('hello'))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}
