/** The clients that people have, through the door to a real server: what they did before, they do now. */
import { execFile, spawn } from 'node:child_process'
import { access, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Client, Pool, type QueryConfig } from 'pg'
import postgres from 'postgres'
import t from 'tap'
import { demoServer, type Door, openDoor } from './door.ts'
import { until } from '../fixtures/until.ts'

const run = promisify(execFile)

t.setTimeout(180_000)
const demo = await demoServer(t)
const hasPsql = await works('psql', ['--version'])
const JDBC = '/usr/share/java/postgresql.jar'
const hasJava = (await works('java', ['-version'])) && (await works('test', ['-f', JDBC]))
const hasPsycopg3 = await works('/usr/bin/python3', ['-c', 'import psycopg'])
const hasPsycopg = await works('/usr/bin/python3', ['-c', 'import psycopg2'])
const reason = demo === undefined ? 'no PostgreSQL 18 for this machine' : hasPsql ? false : 'no psql here'

async function works(command: string, args: readonly string[]): Promise<boolean> {
  return run(command, [...args]).then(
    () => true,
    () => false,
  )
}

function environment(door: Door, more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'))
  return {
    ...Object.fromEntries(clean),
    PGHOST: 'localhost',
    PGHOSTADDR: '127.0.0.1',
    PGPORT: `${door.port}`,
    PGUSER: 'alice',
    PGDATABASE: 'prod-db',
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: door.tls.file,
    PSQLRC: '/dev/null',
    LC_ALL: 'C.UTF-8',
    ...more,
  }
}

type Ran = { readonly out: string; readonly err: string; readonly code: number }

/** psql with a script on its standard input. */
async function psql(
  door: Door,
  script: string,
  more: Readonly<Record<string, string>> = {},
  args: readonly string[] = ['-X', '-w', '-A', '-t', '-q'],
): Promise<Ran> {
  const child = spawn('psql', args, { env: environment(door, more) })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  child.stdin.end(script)
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)))
  return { out, err, code }
}

async function writer(t: Parameters<typeof openDoor>[0]): Promise<Door> {
  if (demo === undefined) throw new Error('no server')
  const door = await openDoor(t, { demo })
  door.grants.give('alice', 'prod-db', 'readwrite')
  return door
}

async function reader(t: Parameters<typeof openDoor>[0]): Promise<Door> {
  if (demo === undefined) throw new Error('no server')
  const door = await openDoor(t, { demo })
  door.grants.give('alice', 'prod-db', 'readonly')
  return door
}

t.test(
  'psql works under a write role: results, errors, copies, cursors, large objects',
  { skip: reason },
  async (t) => {
    const door = await writer(t)
    const { out, err } = await psql(
      door,
      `select count(*) from orders;
create temp table t (a int, b text);
\\copy t from stdin
1	one
2	two
\\.
copy t to stdout;
select 1/0;
begin; declare c cursor for select a from t order by 1; fetch 1 from c; fetch all from c; commit;
\\set FETCH_COUNT 1
select b from t order by a;
do $$ begin raise notice 'mind the gap'; end $$;
\\lo_import /etc/hostname 'a name'
select count(*) from pg_largeobject_metadata;
\\lo_unlink :LASTOID
listen news; notify news, 'hello';
select 'end';`,
    )
    t.equal(
      out.replace(/Asynchronous.*\n/, ''),
      ['8000', '1\tone', '2\ttwo', '1', '2', 'one', 'two', '1', 'end', ''].join('\n'),
      err,
    )
    t.match(err, /division by zero/)
    t.match(err, /NOTICE: {2}mind the gap/)
    t.match(out, /Asynchronous notification "news" with payload "hello"/)
    const copied = (await door.recorder.outcomes()).filter(({ tag }) => tag?.startsWith('COPY'))
    t.same(
      copied.map(({ tag }) => tag),
      ['COPY 2', 'COPY 2'],
    )
    t.match(
      (await door.recorder.outcomes()).find(({ error }) => error?.startsWith('22012')),
      { result: 'error' },
    )
  },
)

t.test(
  'psql under a read-only role: \\d works, a write is refused by a sentence, and the session goes on',
  { skip: reason },
  async (t) => {
    const door = await reader(t)
    const { out, err } = await psql(
      door,
      `\\d orders
insert into orders default values;
select 'still here';
begin; select 1; delete from orders; select 2; rollback;
select 'again';
\\x
select transaction_read_only from (select current_setting('transaction_read_only') as transaction_read_only) x;`,
    )
    t.match(out, /customer_id/)
    t.match(err, /ERROR: {2}read-only session: INSERT is not allowed\nHINT/)
    t.match(err, /DELETE is not allowed/)
    t.match(err, /current transaction is aborted/, 'the transaction has failed, as it would have')
    t.match(out, /still here/)
    t.match(out, /again[\s\S]*\|on/)
    t.notMatch(out, /^2$/m)
  },
)

t.test(
  'the code of a refusal is 25006, and statements are recorded with their verdict',
  { skip: reason },
  async (t) => {
    const door = await reader(t)
    const { err } = await psql(
      door,
      '\\set VERBOSITY verbose\nupdate orders set total = 0;\nalter role alice password $1;\n'.replace('$1', "'it''s'"),
    )
    t.match(err, /ERROR: {2}25006: read-only session: UPDATE is not allowed/)
    t.match(door.recorder.statements(), [{ n: 1, text: 'update orders set total = 0;', verdict: { decision: 'deny' } }])
    t.equal(door.recorder.statements()[1]?.text, "alter role alice password '***';")
    t.same(await door.recorder.outcomes(), [])
  },
)

t.test('Ctrl-C in psql cancels the query and nothing else', { skip: reason }, async (t) => {
  const door = await writer(t)
  const child = spawn('psql', ['-X', '-w', '-A', '-t', '-q'], { env: environment(door) })
  t.teardown(() => child.kill())
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  child.stdin.write("select pg_sleep(60);\nselect 'after';\n")
  // A cancel that comes before its query does nothing, there as here.
  const running =
    "select count(*)::int as n from pg_stat_activity where query like 'select pg_sleep(60)%' and pid <> pg_backend_pid()"
  const root = new Client({
    host: '127.0.0.1',
    port: demo?.port ?? 0,
    user: 'postgres',
    password: demo?.server.password ?? '',
    database: 'app',
  })
  await root.connect()
  await until(async () => (await root.query(running)).rows[0].n > 0)
  await root.end()
  child.kill('SIGINT')
  await until(() => /after/.test(out) || child.exitCode !== null)
  child.stdin.end()
  t.match(err, /canceling statement due to user request/)
})

t.test('libpq 18: direct TLS, protocol 3.2 asked for, channel binding', { skip: reason }, async (t) => {
  const door = await reader(t)
  const library = { LD_LIBRARY_PATH: demo?.server.libraries ?? '' }
  const direct = await psql(door, 'select 18;', { ...library, PGSSLNEGOTIATION: 'direct' })
  t.equal(direct.out, '18\n', direct.err)
  const newest = await psql(door, 'select 32;', { ...library, PGMAXPROTOCOLVERSION: 'latest' })
  t.equal(newest.out, '32\n', newest.err)
  const only = await psql(door, 'select 32;', { ...library, PGMINPROTOCOLVERSION: '3.2', PGMAXPROTOCOLVERSION: '3.2' })
  t.match(only.err, /protocol/)
  const plain = await psql(door, 'select 1;', { PGSSLMODE: 'disable' })
  t.match(plain.err, /FATAL: {2}TLS is required/)
})

t.test('node-postgres: values, prepared statements, binary results, errors, a pool', { skip: reason }, async (t) => {
  const door = await reader(t)
  const ssl = { ca: door.tls.cert, servername: 'localhost' }
  const login = { host: '127.0.0.1', port: door.port, user: 'alice', database: 'prod-db', ssl }
  const client = new Client(login)
  const notices: string[] = []
  client.on('notice', (notice) => notices.push(notice.message ?? ''))
  await client.connect()
  t.match(notices[0], /Sign in at .* type the code ABCD-EFGH/)
  const named = { name: 'by-id', text: 'select id, name from customers where id = $1' }
  t.equal((await client.query({ ...named, values: [7] })).rows[0].id, 7)
  t.equal((await client.query({ ...named, values: [8] })).rows[0].id, 8)
  const binary = { text: 'select 1::int4 as one', binary: true }
  t.equal((await client.query(binary as QueryConfig)).rows[0].one, 1)
  await t.rejects(client.query('delete from orders where id = $1', [1]), { code: '25006' })
  await t.rejects(client.query('select * from nothing_here'), { code: '42P01' })
  t.equal((await client.query('select count(*)::int as n from orders')).rows[0].n, 8000)
  await client.end()
  const texts = door.recorder.statements().filter(({ text }) => text === named.text)
  t.same(
    texts.map(({ parameters }) => parameters),
    [['7'], ['8']],
    'one record for each execution, with its values',
  )
  const pool = new Pool({ ...login, max: 5 })
  // It has let go of its connections before they have heard of it.
  pool.on('error', () => undefined)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.query('select $1::int as i', [i])))
  t.same(
    answers.map(({ rows }) => rows[0].i),
    Array.from({ length: 20 }, (_, i) => i),
  )
  await pool.end()
  await until(() => door.recorder.tapes.every(({ end }) => end !== undefined))
  t.equal(door.asked.length, 1, 'one sign-in serves them all')
})

t.test('postgres.js: pipelined queries, transactions, cursors, copy', { skip: reason }, async (t) => {
  const door = await writer(t)
  const sql = postgres({
    host: '127.0.0.1',
    port: door.port,
    user: 'alice',
    database: 'prod-db',
    max: 2,
    onnotice: () => undefined,
    ssl: { ca: door.tls.cert, servername: 'localhost' },
  })
  t.teardown(() => sql.end({ timeout: 1 }))
  const many = await Promise.all(Array.from({ length: 30 }, (_, i) => sql`select ${i}::int as i`))
  t.same(
    many.map(([row]) => row?.['i']),
    Array.from({ length: 30 }, (_, i) => i),
  )
  const total = await sql.begin(async (tx) => {
    await tx`create temp table pile (i int) on commit drop`
    const copy = await tx`copy pile from stdin`.writable()
    await new Promise<void>((resolve, reject) => {
      copy.on('error', reject)
      copy.end('1\n2\n3\n', () => resolve())
    })
    let sum = 0
    for await (const rows of tx`select i from pile`.cursor(2)) for (const { i } of rows) sum += Number(i)
    return sum
  })
  t.equal(total, 6)
  await t.rejects(sql`select 1 / ${0}::int`, { code: '22012' })
  t.equal((await sql`select 1 as one`)[0]?.['one'], 1)
})

t.test(
  'psycopg2: named cursors, copy both ways, notifications, a refusal as its own class',
  { skip: hasPsycopg ? reason : 'no python3-psycopg2 here' },
  async (t) => {
    const script = `
import psycopg2, io, select
c = psycopg2.connect("dbname=prod-db"); cur = c.cursor()
cur.execute("create temp table t (i int, s text)")
cur.copy_expert("copy t from stdin", io.StringIO("1\\tone\\n2\\ttwo\\n"))
out = io.StringIO(); cur.copy_expert("copy t to stdout", out); print(repr(out.getvalue()))
c.commit()
n = c.cursor("srv"); n.itersize = 1; n.execute("select i from t order by i"); print([r[0] for r in n]); n.close(); c.commit()
c.set_isolation_level(0); cur.execute("listen x"); cur.execute("notify x, 'p'"); c.poll(); print(c.notifies[0].payload)
lo = c.cursor(); c.set_isolation_level(1); o = c.lobject(0, "wb"); o.write(b"abc"); print(o.tell()); o.close(); c.rollback()
r = psycopg2.connect("dbname=prod-db%readonly"); rc = r.cursor()
try: rc.execute("delete from orders")
except psycopg2.errors.ReadOnlySqlTransaction as e: print(e.pgerror.strip().split(chr(10))[0])
r.rollback(); rc.execute("select count(*) from orders"); print(rc.fetchone()[0])
`
    const door = await writer(t)
    door.grants.give('alice', 'prod-db', 'readonly')
    const child = await run(
      '/usr/bin/python3',
      ['-c', script.replace('dbname=prod-db"', 'dbname=prod-db%readwrite"')],
      {
        env: environment(door),
      },
    )
    t.equal(
      child.stdout,
      "'1\\tone\\n2\\ttwo\\n'\n[1, 2]\np\n3\nERROR:  read-only session: DELETE is not allowed\n8000\n",
      child.stderr,
    )
  },
)

t.test(
  'psycopg 3: a pipeline with a refusal in the middle, server-side cursors, binary results',
  { skip: hasPsycopg3 ? reason : 'no python3-psycopg here' },
  async (t) => {
    const script = `
import psycopg
c = psycopg.connect("dbname=prod-db", autocommit=True)
with c.pipeline() as p:
    one = c.execute("select 1"); p.sync()
    bad = c.execute("update orders set total = 0")
    try: p.sync(); bad.fetchall()
    except psycopg.errors.ReadOnlySqlTransaction as e: print(e.diag.message_primary)
print(one.fetchone())
cur = c.cursor(binary=True); print(cur.execute("select %s::int8, %s::bytea", [2**40, b"\\0\\1"]).fetchone())
with c.transaction():
    s = c.cursor("server"); s.execute("select i from generate_series(1, 500) i"); print(len(s.fetchmany(7)), len(s.fetchall()))
with c.cursor().copy("copy (select i from generate_series(1, 3) i) to stdout") as copy: print([bytes(x) for x in copy])
`
    const door = await reader(t)
    const child = await run('/usr/bin/python3', ['-c', script], { env: environment(door) })
    const expected = [
      'read-only session: UPDATE is not allowed',
      '(1,)',
      "(1099511627776, b'\\x00\\x01')",
      '7 493',
      "[b'1\\n', b'2\\n', b'3\\n']",
    ]
    t.equal(child.stdout, `${expected.join('\n')}\n`, child.stderr)
  },
)

t.test(
  'pgjdbc: prepared and binary, batches, copies, fetch size, metadata, cancel',
  { skip: hasJava ? reason : 'no java or no libpostgresql-jdbc-java here' },
  async (t) => {
    const door = await writer(t)
    const tour = `
import java.sql.*; import java.io.*; import org.postgresql.*; import org.postgresql.copy.*;
public class Tour { public static void main(String[] a) throws Exception {
  String url = "jdbc:postgresql://127.0.0.1:${door.port}/prod-db?user=alice&sslmode=verify-ca&prepareThreshold=2&sslrootcert=${door.tls.file}";
  try (Connection c = DriverManager.getConnection(url)) {
    PreparedStatement p = c.prepareStatement("select id, total, placed_at from orders where id = ?");
    for (int i = 1; i <= 6; i++) { p.setInt(1, i); ResultSet r = p.executeQuery(); r.next(); System.out.print(r.getInt(1) + " "); }
    System.out.println();
    Statement s = c.createStatement(); s.execute("create temp table pile (i int, t text)");
    PreparedStatement b = c.prepareStatement("insert into pile values (?, ?)");
    for (int i = 0; i < 100; i++) { b.setInt(1, i); b.setString(2, "x" + i); b.addBatch(); }
    System.out.println(b.executeBatch().length);
    CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
    System.out.println(m.copyIn("copy pile from stdin", new StringReader("200\\tcopied\\n")));
    StringWriter w = new StringWriter(); System.out.println(m.copyOut("copy pile to stdout", w) + " " + w.toString().endsWith("200\\tcopied\\n"));
    c.setAutoCommit(false); s.setFetchSize(10); ResultSet r = s.executeQuery("select * from pile"); int n = 0; while (r.next()) n++; System.out.println(n); c.commit(); c.setAutoCommit(true);
    ResultSet t = c.getMetaData().getTables(null, "public", "%", new String[]{"TABLE"}); while (t.next()) System.out.print(t.getString(3) + " "); System.out.println();
    try { s.execute("select 1/0"); } catch (SQLException e) { System.out.println(e.getSQLState()); }
    Statement slow = c.createStatement(); new Thread(() -> { try { Thread.sleep(300); slow.cancel(); } catch (Exception e) { } }).start();
    try { slow.execute("select pg_sleep(60)"); } catch (SQLException e) { System.out.println(e.getSQLState()); }
  } } }`
    const file = `${demo?.server.directory}/Tour.java`
    await writeFile(file, tour)
    const { stdout, stderr } = await run('java', ['-XX:TieredStopAtLevel=1', '-cp', JDBC, file], { timeout: 60_000 })
    t.equal(stdout, '1 2 3 4 5 6 \n100\n1\n101 true\n101\ncustomers orders \n22012\n57014\n', stderr)
  },
)

t.test('two hundred thousand rows and a copy of them come through whole', { skip: reason }, async (t) => {
  const door = await reader(t)
  const query = 'select i, md5(i::text) from generate_series(1, 200000) i'
  const direct = await run('psql', ['-X', '-A', '-t', '-q', '-c', query], {
    env: {
      ...environment(door),
      PGPORT: `${demo?.port}`,
      PGUSER: 'postgres',
      PGPASSWORD: demo?.server.password ?? '',
      PGDATABASE: 'app',
      PGSSLMODE: 'require',
      PGSSLROOTCERT: '/nowhere',
    },
    maxBuffer: 1 << 28,
  })
  const through = await psql(door, `${query};`)
  t.ok(direct.stdout === through.out, 'every byte')
  const copied = await psql(door, `copy (${query}) to stdout;`)
  t.equal(copied.out.length, direct.stdout.length)
  t.match((await door.recorder.outcomes())[0], { rows: 200_000, tag: 'SELECT 200000' })
  t.notOk((await door.recorder.outcomes())[0]?.sha256, 'too long for a digest')
})

t.test('the unix socket of a target, and a fixed login', { skip: reason }, async (t) => {
  const door = await reader(t)
  door.grants.give('alice', 'socket-db', 'readonly')
  door.grants.give('alice', 'static-db', 'readonly')
  const socket = await psql(door, 'select inet_client_addr() is null;', { PGDATABASE: 'socket-db' })
  t.equal(socket.out, 't\n', socket.err)
  const fixed = await psql(door, 'select current_user;', { PGDATABASE: 'static-db' })
  t.equal(fixed.out, 'postgres\n', fixed.err)
  await t.resolves(access(door.tls.file))
})
