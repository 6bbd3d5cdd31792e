/** Machines: programs that sign in with a client certificate, through the real psql. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { Machines } from '../../gateway/identity/machines.ts'
import type { Identity } from '../../gateway/model/identity.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { alternativesOf } from '../../gateway/postgres/certificate.ts'
import { house as grantsHouse } from '../fixtures/grants.ts'
import { demoServer, openDoor, person, roleNamed, scope } from './door.ts'
import { Reading, startup, tls } from './wire.ts'
import { until } from '../fixtures/until.ts'

const run = promisify(execFile)
const demo = await demoServer(t)
const skip =
  demo === undefined ? 'no PostgreSQL 18 for this machine' : existsSync('/usr/bin/psql') ? false : 'no psql here'
t.setTimeout(120_000)

const URI = 'spiffe://example.com/reports'
const CLIENT = `extendedKeyUsage=clientAuth\nsubjectAltName=URI:${URI}`
const admin: Identity = { ...person('anna'), groups: ['admins'] }

const at = (name: string) => join(demo?.server.directory ?? '', name)

async function authority(name: string): Promise<string> {
  const files = ['-keyout', `${at(name)}.key`, '-out', `${at(name)}.crt`]
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=CA', ...files])
  return readFile(`${at(name)}.crt`, 'utf8')
}

/** Returns the files that psql takes. */
async function issue(name: string, ca: string, extensions: string, days = '2', commonName = 'x') {
  const [key, csr, crt, more] = ['key', 'csr', 'crt', 'ext'].map((end) => `${at(name)}.${end}`) as [
    string,
    string,
    string,
    string,
  ]
  await run('openssl', [
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    `/CN=${commonName}`,
    '-keyout',
    key,
    '-out',
    csr,
  ])
  await writeFile(more, extensions)
  const signer = ['-CA', `${at(ca)}.crt`, '-CAkey', `${at(ca)}.key`, '-CAcreateserial']
  await run('openssl', ['x509', '-req', '-in', csr, ...signer, '-days', days, '-extfile', more, '-out', crt])
  await chmod(key, 0o600)
  return { PGSSLCERT: crt, PGSSLKEY: key }
}

async function opened(t: Parameters<typeof openDoor>[0], approval: 'auto' | 'people' = 'auto') {
  if (demo === undefined) throw new Error('no server')
  const role = {
    ...roleNamed('readonly', scope()),
    requesters: ['reporting'],
    approval:
      approval === 'auto' ? ({ kind: 'auto' } as const) : ({ kind: 'people', count: 1, groups: ['leads'] } as const),
  }
  const target = { name: 'prod-db', description: '', labels: {}, ssh: undefined, http: undefined }
  const where = { host: '127.0.0.1', port: 1, database: 'app', tls: { mode: 'off' } } as const
  const postgres = { ...where, credential: { kind: 'static', username: 'x', password: 'env:X' } } as const
  const policy = () => ({ targets: [{ ...target, postgres }], roles: [role], admins: ['admins'], auditors: [] })
  const { grants, state, events } = await (await grantsHouse(t)).desk({ policy, clock: wallClock })
  const told: string[] = []
  const machines = new Machines({
    state,
    clock: wallClock,
    hooks: {
      secret: async () => '',
      lockOf: async (subject, username) =>
        (await grants.lockOf({ subject, username })) === undefined ? undefined : 'Locked by anna.',
      signedOut: () => undefined,
    },
    machines: () => [
      { name: 'reports', groups: ['reporting'], certificate: { kind: 'uri', value: URI } },
      { name: 'nightly', groups: ['reporting'], certificate: { kind: 'common-name', value: 'nightly.example' } },
    ],
    news: (kind, { actor, details }) => told.push(`${kind} ${actor} ${JSON.stringify(details)}`),
  })
  const clientCa = await authority('machines')
  const trusted = { clientCa }
  const door = await openDoor(t, { demo, house: grants, machines, clientCa: () => trusted.clientCa })
  door.onAsk = () => undefined
  const psql = (user: string, more: Record<string, string>, sql = 'select 1'): Promise<string> =>
    run('psql', ['-X', '-w', '-At', '-U', user, '-c', sql], {
      env: {
        PATH: process.env['PATH'] ?? '',
        PGDATABASE: 'prod-db',
        PGHOST: 'localhost',
        PGPORT: `${door.port}`,
        PGSSLMODE: 'verify-full',
        PGSSLROOTCERT: door.tls.file,
        ...more,
      },
    }).then(
      ({ stdout }) => stdout,
      (failure: { stderr: string }) => failure.stderr,
    )
  return { door, grants, events, told, psql, trusted }
}

t.test(
  'a machine comes in with its certificate, by the rule of its role, and is recorded under its name',
  { skip },
  async (t) => {
    const { door, grants, events, told, psql } = await opened(t)
    const own = await issue('reports', 'machines', CLIENT)
    const fingerprint = (
      await run('openssl', ['x509', '-in', own.PGSSLCERT, '-noout', '-fingerprint', '-sha256'])
    ).stdout
      .trim()
      .replace(/.*=/, '')
    t.same(
      await Promise.all([1, 2, 3].map(() => psql('reports', own))),
      ['1\n', '1\n', '1\n'],
      'a pool of them at once',
    )
    t.equal(events.filter(({ kind }) => kind === 'grant.live').length, 1, 'one grant serves them')
    const [tape] = door.recorder.tapes
    t.match(tape?.start, { username: 'reports', subject: 'machine|reports', reason: `Certificate ${fingerprint}` })
    t.ok(tape?.start.clientVersion.includes(fingerprint), 'also where a later certificate uses the same grant')
    t.match(told[0], new RegExp(`^identity.signed-in reports .*${fingerprint}`))
    t.equal(door.asked.length, 0, 'nobody was asked to sign in')

    const running = psql('reports', own, 'select pg_sleep(600)')
    await until(async () => (await grants.liveSessions(admin)).length > 0)
    await sleep(300)
    await grants.lock(admin, 'reports', 'key stolen')
    t.match(await running, /FATAL:.*locked/i, 'what it does now is cut')
    t.match(await psql('reports', own), /FATAL: {2}Locked by anna/, 'and it does not come back')
  },
)

t.test('another certificate, or none, is refused with the reason', { skip }, async (t) => {
  const { door, told, psql } = await opened(t)
  await authority('strangers')
  const own = await issue('own', 'machines', CLIENT)
  t.match(await psql('nightly', own), /not taken: it does not belong to nightly/)
  t.match(await psql('alice', own), /not taken: it does not belong to alice/, 'no person comes in by one')
  t.match(await psql('reports', {}), /not taken: none was shown/)
  t.match(
    await psql('reports', await issue('eve', 'strangers', CLIENT)),
    /not taken: the CA for machines has not signed it/,
  )
  t.match(await psql('reports', await issue('old', 'machines', CLIENT, '0')), /not taken: it has expired/)
  const server = await issue('server', 'machines', `extendedKeyUsage=serverAuth\nsubjectAltName=URI:${URI}`)
  t.match(await psql('reports', server), /not taken: it is not for client authentication/)
  const any = await issue('any', 'machines', `subjectAltName=URI:${URI}`)
  t.match(
    await psql('reports', any),
    /not taken: it is not for client authentication/,
    'nor one that does not say what for',
  )
  const dressed = await issue(
    'dressed',
    'machines',
    'extendedKeyUsage=clientAuth\nsubjectAltName=DNS:a,URI:spiffe://example.com/other',
  )
  t.match(await psql('reports', dressed), /not taken: it does not belong to reports/)
  t.equal(door.recorder.tapes.length, 0)
  t.equal(told.filter((line) => line.startsWith('identity.refused')).length, 8)

  const named = await issue('named', 'machines', 'extendedKeyUsage=clientAuth', '2', 'nightly.example')
  t.equal(await psql('nightly', named), '1\n', 'a common name does where the config says so')
  const stranger = await issue('bobs', 'strangers', CLIENT)
  const socket = await tls(door, {
    key: await readFile(stranger.PGSSLKEY, 'utf8'),
    cert: await readFile(stranger.PGSSLCERT, 'utf8'),
  })
  const reading = new Reading(socket)
  socket.write(startup('alice', 'prod-db'))
  await reading.next('N')
  t.equal(door.asked.length, 1, 'a person whose certificate is for something else signs in like everybody')
  socket.destroy()
})

t.test('names that only look like a machine’s, and a signature of a machine, open nothing', { skip }, async (t) => {
  const { door, psql } = await opened(t)
  const looks = {
    other: `subjectAltName=@alt\n[alt]\notherName.1=1.2.3.4;UTF8:x, URI:${URI}`,
    host: `subjectAltName=@alt\n[alt]\nDNS.1=x, URI:${URI}`,
    email: 'subjectAltName=email:reports@nightly.example,DNS:*.example.com,DNS:reports',
    longer: `subjectAltName=URI:${URI}/more`,
    directory: 'subjectAltName=dirName:dn\n[dn]\nCN=nightly.example',
  }
  for (const [what, names] of Object.entries(looks)) {
    const shown = await issue(
      what,
      'machines',
      `extendedKeyUsage=clientAuth\n${names}`,
      '2',
      `URI:${URI.replaceAll('/', '\\/')}`,
    )
    for (const user of ['reports', 'nightly'])
      t.match(await psql(user, shown), new RegExp(`not taken: it does not belong to ${user}`), `${what} for ${user}`)
  }
  // A certificate of a machine signs for nobody, even with the chain that leads to the CA.
  await issue('signer', 'machines', CLIENT)
  const signed = await issue('signed', 'signer', CLIENT)
  const chain = `${await readFile(signed.PGSSLCERT, 'utf8')}${await readFile(`${at('signer')}.crt`, 'utf8')}`
  await writeFile(signed.PGSSLCERT, chain)
  t.match(await psql('reports', signed), /not taken: (it is not for client|the CA for machines has not)/)
  const two = await issue('two', 'machines', 'extendedKeyUsage=clientAuth', '2', 'other/CN=nightly.example')
  t.match(await psql('nightly', two), /not taken: it does not belong to nightly/, 'one of two common names')
  t.equal(door.recorder.tapes.length, 0)
})

t.test(
  'a CA that is not a root is trusted by itself, and nothing that its root has signed besides',
  { skip },
  async (t) => {
    const { psql, trusted } = await opened(t)
    await authority('root')
    const signs = 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign'
    await issue('machines-2', 'root', signs, '2', 'Machines')
    await issue('people-2', 'root', signs, '2', 'People')
    const [machine, person2] = [await issue('m', 'machines-2', CLIENT), await issue('p', 'people-2', CLIENT)]
    const withChain = async (files: typeof machine, ...cas: string[]) => {
      const chain = await Promise.all(
        [files.PGSSLCERT, ...cas.map((name) => `${at(name)}.crt`)].map((f) => readFile(f, 'utf8')),
      )
      await writeFile(`${files.PGSSLCERT}.chain`, chain.join(''))
      return { ...files, PGSSLCERT: `${files.PGSSLCERT}.chain` }
    }
    trusted.clientCa = await readFile(`${at('machines-2')}.crt`, 'utf8')
    t.equal(await psql('reports', machine), '1\n', 'its own certificates')
    t.equal(await psql('reports', await withChain(machine, 'machines-2', 'root')), '1\n', 'with their chain, too')
    const sibling = await withChain(person2, 'people-2', 'root')
    t.match(
      await psql('reports', sibling),
      /not taken: the CA for machines has not signed it/,
      'of another one, the same root',
    )
    trusted.clientCa = await readFile(`${at('root')}.crt`, 'utf8')
    t.match(await psql('reports', machine), /not taken: the CA for machines has not signed it/, 'the chain is missing')
    t.equal(await psql('reports', await withChain(machine, 'machines-2')), '1\n', 'under the root, with the chain')
  },
)

t.test('a CA that is trusted no more vouches for nobody, nor do the tickets of its time', { skip }, async (t) => {
  const { door, psql, trusted } = await opened(t)
  const own = await issue('then', 'machines', CLIENT)
  const pem = { key: await readFile(own.PGSSLKEY, 'utf8'), cert: await readFile(own.PGSSLCERT, 'utf8') }
  const before = await tls(door, pem)
  const ticket = new Promise<Buffer>((resolve) => before.once('session', resolve))
  const reading = new Reading(before)
  before.write(startup('reports', 'prod-db'))
  await reading.next('Z')
  const session = await ticket
  trusted.clientCa = await authority('machines')
  t.match(await psql('reports', own), /not taken: the CA for machines has not signed it/)
  const after = await tls(door, { ...pem, session })
  t.notOk(after.isSessionReused())
  const told = new Reading(after)
  after.write(startup('reports', 'prod-db'))
  t.match(await told.error(), /not taken: the CA for machines has not signed it/)
  t.equal(await psql('reports', await issue('now', 'machines', CLIENT)), '1\n', 'and the new one does')
  before.destroy()
  after.destroy()
})

t.test('a machine that names a database it may not use makes one grant, not one a try', { skip }, async (t) => {
  const { events, psql } = await opened(t)
  const own = await issue('eager', 'machines', CLIENT)
  for (let tries = 0; tries < 3; tries += 1)
    t.match(await psql('reports', { ...own, PGDATABASE: 'prod-db/other' }), /FATAL/)
  t.ok(events.filter(({ kind }) => kind === 'grant.live').length <= 1)
})

t.test('where people approve the role, a machine asks nobody', { skip }, async (t) => {
  const { events, psql } = await opened(t, 'people')
  const own = await issue('patient', 'machines', CLIENT)
  t.match(
    await psql('reports', own),
    /FATAL: {2}No live grant for prod-db[^]*A machine comes in by a role whose rule is auto/,
  )
  t.notOk(events.some(({ kind }) => kind === 'grant.requested'))
})

t.test('the names in a certificate are read as they are meant, or not at all', async (t) => {
  t.same(alternativesOf('DNS:a.example, URI:spiffe://x/y'), ['DNS:a.example', 'URI:spiffe://x/y'])
  t.same(alternativesOf('DNS:"a, URI:spiffe://x/y"'), ['DNS:a, URI:spiffe://x/y'], 'one name that looks like two')
  t.same(alternativesOf('DNS:"a'), [])
  t.same(alternativesOf(''), [])
})
