/** Alerts of a full shell, with real ssh: a line rings, is recorded and listed, and ends the session where the role says so. */
import { existsSync } from 'node:fs'
import t from 'tap'
import { type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'
type Listed = {
  readonly id: string
  readonly channel: string
  readonly alerts: number | null
  readonly detail: string | null
  readonly cause: string | null
}

const DIRECT = ['-o', 'LogLevel=ERROR']

/** A shell with a terminal, and everything it has shown. */
function shell(person: DemoPerson) {
  const child = person.start([...DIRECT, '-tt', '@', 'prod-db'], { approve: false })
  let seen = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
    })
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  return {
    gone,
    seen: () => seen,
    type: (text: string) => child.stdin?.write(text),
    shows: (pattern: RegExp) => until(() => pattern.exec(seen)?.[0], `${pattern} in ${JSON.stringify(seen)}`),
  }
}

if (!existsSync('/usr/bin/ssh') || !existsSync('/usr/sbin/sshd')) t.plan(0, 'no OpenSSH client or sshd here')
else {
  t.setTimeout(120_000)
  const demo = await startDemo(t)
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => demo.person(name)) as [
    DemoPerson,
    DemoPerson,
    DemoPerson,
  ]
  const asked = await alice.ssh([
    '@',
    'request',
    'prod-db',
    '--role',
    'operator',
    '--for',
    '10m',
    '--reason',
    'alerts',
    '--json',
  ])
  const { id } = JSON.parse(asked.stdout.toString()) as { readonly id: string }
  await bob.ssh(['@', 'approve', id])
  const list = async (): Promise<readonly Listed[]> =>
    JSON.parse((await carol.ssh([...DIRECT, '@', 'sessions', '--json'])).stdout.toString()) as readonly Listed[]
  await carol.ssh(['@', 'whoami'])

  await t.test('a typed line raises an alarm, and the session goes on', async (t) => {
    const one = shell(alice)
    one.type('echo re""ady\r')
    await one.shows(/\nready/)
    one.type('echo sudo -i; echo still here\r')
    await one.shows(/still here\r\n/)
    one.type('exit\r')
    await one.gone
    const row = await until(async () => (await list()).find(({ alerts }) => alerts === 1), 'a session with an alert')
    t.match(row, { channel: 'shell', cause: 'exited' })
    const replay = await carol.ssh([...DIRECT, '@', 'replay', row.id, '--speed', '100'])
    t.match(replay.stdout.toString() + replay.stderr, /Alert become-root: echo sudo -i; echo still here/)
    const table = await carol.ssh([...DIRECT, '@', 'sessions'])
    t.match(table.stdout.toString(), /\b1 alert\b/)
  })

  await t.test('an alert that ends the session does so with a sentence', async (t) => {
    const one = shell(alice)
    one.type('echo re""ady\r')
    await one.shows(/\nready/)
    one.type('echo mkfs; sleep 60; echo never\r')
    await one.gone
    t.match(one.seen(), /This session was ended: it raised the alert format\./)
    t.notMatch(one.seen(), /\nnever/)
    const row = await until(async () => (await list()).find(({ cause }) => cause === 'cut'), 'the session that was cut')
    t.match(row, { alerts: 1, detail: 'This session was ended: it raised the alert format.' })
  })

  await t.test('a command rings before it runs; what was not echoed never rings', async (t) => {
    const run = await alice.ssh([...DIRECT, '@', 'prod-db', 'echo mkfs.ext4 ran'])
    t.notMatch(run.stdout.toString(), /ran/)
    t.match(run.stderr, /it raised the alert format/)
    const one = shell(alice)
    // What is typed before the echo is off is shown, and rings.
    one.type('stty -echo; echo Pass""word:; read x; stty echo; echo on\r')
    await one.shows(/\nPassword:/)
    one.type('sudo -i mkfs\r')
    await one.shows(/\non\r/)
    one.type('exit\r')
    await one.gone
    const rows = await until(async () => {
      const found = await list()
      return found.length === 4 && found.every(({ cause }) => cause !== null) ? found : undefined
    }, 'all four')
    t.same(
      rows.map(({ alerts }) => alerts),
      [0, 1, 1, 1],
    )
  })

  await t.test('it is in the audit log and among the numbers', async (t) => {
    const page = await (await fetch(`${demo.report.admin.url}/metrics`)).text()
    t.match(page, /sallyport_alerts_total\S* 3/)
    await carol.visit('/')
    const story = await until(async () => {
      const answer = await carol.browser.api(demo.report.https.url, 'GET', `/grants/${id}`)
      return (answer.text.match(/"session\.alert"/g) ?? []).length === 3 ? answer.text : undefined
    }, 'three alerts in the story of the grant')
    t.match(story, /alice raised the alert become-root on prod-db\./)
  })

  await t.test('what is shown cannot keep the gateway busy: a screen full of orders to move letters', async (t) => {
    for (const order of ['4096@', '4096Gx\\n', '9999Cx\\033[A']) {
      const paint = `perl -e 'print "\\033[${order}" x 60000; print "\\nall was ", "shown\\n"'`
      const ran = await alice.ssh([...DIRECT, '-tt', '@', 'prod-db', paint])
      t.match(ran.stdout.toString(), /all was shown/)
    }
    const { text } = await carol.browser.api(demo.report.https.url, 'GET', '/audit?limit=200')
    t.match(text, /grant\.live/)
    t.notMatch(text, /worker-killed/)
  })
}
