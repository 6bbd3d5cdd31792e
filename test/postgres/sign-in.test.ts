/** How people come in by psql: by browser, token or certificate; and what they are told when they may not. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Client } from 'pg'
import t from 'tap'
import { after, wallClock } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import { scramVerifier } from '../../gateway/postgres/postgres.ts'
import { demoServer, type Door, type DoorOptions, openDoor, person } from './door.ts'
import { Reading, startup, tls } from './wire.ts'
import { until } from '../fixtures/until.ts'

const run = promisify(execFile)
const demo = await demoServer(t)
const skip = demo === undefined ? 'no PostgreSQL 18 for this machine' : false

async function opened(t: Parameters<typeof openDoor>[0], options: Partial<DoorOptions> = {}): Promise<Door> {
  if (demo === undefined) throw new Error('no server')
  return openDoor(t, { demo, ...options })
}

t.test('nobody is let in, and nothing is sent on, before the person has signed in', { skip }, async (t) => {
  const door = await opened(t)
  door.grants.give('alice', 'prod-db', 'readonly')
  door.onAsk = () => undefined
  const socket = await tls(door)
  const reading = new Reading(socket)
  socket.write(startup('alice', 'prod-db'))
  await reading.next('N')
  t.equal(reading.types, 'RN', 'AuthenticationOk, then the notice')
  t.match(reading.messages[1]?.body.toString(), /https:\/\/gateway\.example\/sign-in\/x.*ABCD-EFGH/)
  t.match(door.asked[0]?.question, {
    kind: 'postgres',
    username: 'alice',
    sourceAddress: '127.0.0.1',
    target: 'prod-db',
  })
  t.equal(door.recorder.tapes.length, 0)
  door.asked[0]?.answer(person('alice'))
  t.ok(await reading.next('Z'))
  t.match(reading.types, /^RNS+KZ$/)
  socket.destroy()
})

t.test(
  'waiting connections of one person share one sign-in; it is forgotten when all are gone',
  { skip },
  async (t) => {
    const door = await opened(t)
    door.grants.give('alice', 'prod-db', 'readonly')
    door.onAsk = () => undefined
    const sockets = await Promise.all([tls(door), tls(door), tls(door)])
    const readings = sockets.map((socket) => new Reading(socket))
    for (const socket of sockets) socket.write(startup('alice', 'prod-db'))
    for (const reading of readings) await reading.next('N')
    t.equal(door.asked.length, 1)
    sockets[0]?.destroy()
    await sleep(50)
    t.notOk(door.asked[0]?.left.aborted, 'two still wait')
    door.asked[0]?.answer(person('alice'))
    for (const reading of readings.slice(1)) t.ok(await reading.next('Z'))
    for (const socket of sockets) socket.destroy()

    const other = await tls(door)
    const reading = new Reading(other)
    other.write(startup('bob', 'prod-db'))
    await reading.next('N')
    other.destroy()
    await until(() => door.asked[1]?.left.aborted === true)
    t.pass('the wait ended with the socket')
  },
)

t.test('a remembered sign-in is for one grant: a new one is signed in for anew', { skip }, async (t) => {
  const door = await opened(t)
  const first = door.grants.give('alice', 'prod-db', 'readonly')
  const come = async () => {
    const socket = await tls(door)
    const reading = new Reading(socket)
    socket.write(startup('alice', 'prod-db'))
    t.ok(await reading.next('Z'))
    socket.destroy()
  }
  await come()
  await come()
  t.equal(door.asked.length, 1)
  door.grants.revoke(first)
  door.grants.give('alice', 'prod-db', 'readonly')
  await come()
  t.equal(door.asked.length, 2)
})

t.test('who signs in must be who the client named', { skip }, async (t) => {
  const door = await opened(t)
  door.grants.give('alice', 'prod-db', 'readonly')
  door.onAsk = ({ answer }) => answer(person('mallory'))
  const socket = await tls(door)
  const reading = new Reading(socket)
  socket.write(startup('alice', 'prod-db'))
  t.match(await reading.error(), /FATAL 28000 The person who signed in is not alice/)
  await reading.end()
  door.onAsk = ({ answer }) => answer(new Refusal('NOT_SIGNED_IN', 'You said no.'))
  const again = await tls(door)
  const second = new Reading(again)
  again.write(startup('alice', 'prod-db'))
  t.match(await second.error(), /FATAL 28000 You said no/)
})

t.test('a token is the password, over SCRAM with channel binding; a wrong one is not', { skip }, async (t) => {
  const door = await opened(t)
  door.grants.give('alice', 'prod-db', 'readonly')
  door.verifiers.set('alice', await scramVerifier('a-live-token'))
  const env = {
    PATH: process.env['PATH'] ?? '',
    PGHOST: 'localhost',
    PGHOSTADDR: '127.0.0.1',
    PGPORT: `${door.port}`,
    PGUSER: 'alice',
    PGDATABASE: 'prod-db',
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: door.tls.file,
  }
  const psql = (more: Record<string, string>) =>
    run('psql', ['-X', '-A', '-t', '-c', 'select 1'], { env: { ...env, ...more } }).then(
      ({ stdout }) => stdout,
      (failure: { stderr: string }) => failure.stderr,
    )
  t.equal(await psql({ PGPASSWORD: 'a-live-token', PGCHANNELBINDING: 'require' }), '1\n')
  t.equal(await psql({ PGPASSWORD: 'a-live-token', PGCHANNELBINDING: 'disable' }), '1\n')
  t.match(await psql({ PGPASSWORD: 'a-wrong-token' }), /FATAL: {2}The token is wrong or has ended/)
  const login = { host: '127.0.0.1', port: door.port, user: 'alice', database: 'prod-db' }
  const client = new Client({
    ...login,
    password: 'a-live-token',
    ssl: { ca: door.tls.cert, servername: 'localhost' },
    enableChannelBinding: true,
  })
  await client.connect()
  t.equal((await client.query('select 1 as one')).rows[0].one, 1)
  await client.end()
  t.equal(door.asked.length, 0)
})

/** libpq 18 with a token at hand, as an application has it. */
const OAUTH = `
#include <stdio.h>
typedef struct pg_conn PGconn;
typedef struct { const char *configuration, *scope; int (*poll)(PGconn *, void *, int *); void (*cleanup)(PGconn *, void *); char *token; void *user; } Request;
extern void PQsetAuthDataHook(int (*)(int, PGconn *, void *));
extern PGconn *PQconnectdb(const char *); extern int PQstatus(PGconn *); extern char *PQerrorMessage(PGconn *);
extern void *PQexec(PGconn *, const char *); extern char *PQgetvalue(void *, int, int);
static char *token;
static int hook(int type, PGconn *c, void *data) { if (type != 1) return 0; Request *r = data; printf("%s %s\\n", r->configuration, r->scope); r->token = token; return 1; }
int main(int n, char **a) { token = a[2]; PQsetAuthDataHook(hook); PGconn *c = PQconnectdb(a[1]); if (PQstatus(c)) { printf("%s", PQerrorMessage(c)); return 0; } printf("%s\\n", PQgetvalue(PQexec(c, "select 'in'"), 0, 0)); return 0; }
`

t.test('OAUTHBEARER: libpq 18 brings a token of the provider, at a name of its own', { skip }, async (t) => {
  if (demo?.server.libraries === undefined) return
  const bearer = {
    hostname: 'localhost',
    issuer: 'https://idp.example',
    scope: 'openid',
    identity: async (name: string, token: string) => (token === 'a-good-token' ? person(name) : undefined),
  }
  const door = await opened(t, { bearer })
  door.grants.give('alice', 'prod-db', 'readonly')
  door.verifiers.set('alice', await scramVerifier('unused'))
  const raw = await tls(door)
  const reading = new Reading(raw)
  raw.write(startup('alice', 'prod-db'))
  const asked = await reading.next('R')
  t.equal(asked?.body.toString('latin1', 4), 'OAUTHBEARER\0\0', 'this mechanism alone')
  raw.destroy()
  const program = join(demo.server.directory, 'oauth')
  await writeFile(`${program}.c`, OAUTH)
  const library = join(demo.server.libraries, 'libpq.so.5')
  const built = await run('gcc', ['-o', program, `${program}.c`, library, '-Wl,--allow-shlib-undefined']).then(
    () => true,
    () => false,
  )
  if (!built) return t.comment('no C compiler here: only the first message was looked at')
  const client = async (token: string) => {
    const place = `host=localhost hostaddr=127.0.0.1 port=${door.port} user=alice dbname=prod-db sslmode=verify-full`
    const oauth = 'oauth_issuer=https://idp.example oauth_client_id=psql'
    const conninfo = `${place} sslrootcert=${door.tls.file} ${oauth}`
    const env = { PATH: process.env['PATH'] ?? '', LD_LIBRARY_PATH: demo.server.libraries ?? '' }
    return (await run(program, [conninfo, token], { env })).stdout
  }
  t.match(await client('a-good-token'), /^https:\/\/idp\.example\/\.well-known\/openid-configuration openid\nin\n$/)
  t.match(await client('a-bad-token'), /FATAL: {2}The token is not one of alice/)
  t.equal(door.asked.length, 0)
  return undefined
})

t.test('without a grant a program is told at once how to ask; psql waits until it is approved', { skip }, async (t) => {
  const door = await opened(t)
  const program = await tls(door)
  const told = new Reading(program)
  program.write(startup('alice', 'prod-db%readonly', { application_name: 'report' }))
  t.equal(
    await told.error(),
    'FATAL 28000 No live grant for prod-db. Ask for one: ssh alice@gateway.example request prod-db --role readonly --reason "..."',
  )
  t.match(door.audit, [{ kind: 'session.refused', actor: 'alice', target: 'prod-db', details: { code: 'NO_GRANT' } }])
  const socket = await tls(door)
  const reading = new Reading(socket)
  socket.write(startup('alice', 'prod-db', { application_name: 'psql' }))
  const notice = await reading.next('N', 2)
  t.match(notice?.body.toString(), /ssh alice@gateway\.example request prod-db --reason/)
  door.grants.give('alice', 'prod-db', 'readonly')
  t.ok(await reading.next('Z'), 'the same connection goes on')
  socket.destroy()
})

t.test('unknown and forbidden look the same: a target, a role there, one of its databases', { skip }, async (t) => {
  const door = await opened(t)
  door.grants.give('alice', 'prod-db', 'readonly')
  const answer = async (database: string) => {
    const socket = await tls(door)
    const reading = new Reading(socket)
    socket.write(startup('alice', database, { application_name: 'x' }))
    const error = await reading.error()
    await reading.end()
    return error?.replaceAll(database.replace(/[%/].*/, ''), 'IT')
  }
  const unknown = await answer('no-such-db')
  t.match(unknown, /FATAL 28000 No live grant for IT/)
  t.equal(await answer('static-db'), unknown, 'a target without a grant')
  t.equal(await answer('prod-db/postgres'), unknown, 'a database the role does not name')
  t.equal(await answer('prod-db/never_made'), unknown)
  t.match(await answer('prod-db%owner'), /No live grant for IT/)
  t.match(await answer('what is this'), /FATAL 28000 No live grant/)
  door.grants.give('alice', 'prod-db', 'owner')
  const socket = await tls(door)
  const reading = new Reading(socket)
  socket.write(startup('alice', 'prod-db%owner/app', { application_name: 'x' }))
  t.ok(await reading.next('Z'), 'a database that it names')
  socket.destroy()
})

t.test('an old second factor does not open a session that asks for a fresh one', { skip }, async (t) => {
  const door = await opened(t)
  door.grants.give('alice', 'prod-db', 'readonly')
  const old = person('alice', after(wallClock.now(), -2 * 3_600_000))
  door.onAsk = ({ answer }) => answer(old)
  const socket = await tls(door)
  const reading = new Reading(socket)
  socket.write(startup('alice', 'prod-db'))
  t.match(await reading.error(), /FATAL 28000 Role readonly asks for a sign-in of the last 60 minutes/)
  await reading.end()
  door.onAsk = ({ answer }) => answer(person('alice'))
  const again = await tls(door)
  const second = new Reading(again)
  again.write(startup('alice', 'prod-db'))
  t.ok(await second.next('Z'), 'asked anew, although the last sign-in is remembered')
  t.equal(door.asked.length, 2)
  again.destroy()
})
