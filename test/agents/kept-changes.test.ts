/** Changes of an overlay that wait for a second person: applied exactly as they were seen, by somebody else, once, or not at all. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { AuditEvent } from '../../gateway/model/event.ts'
import type { Identity, Subject, Username } from '../../gateway/model/identity.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { keptDesk } from '../../gateway/ssh/kept-changes.ts'
import { alice } from '../fixtures/ssh-engine.ts'
import { photograph } from '../fixtures/shell-workspace.ts'
import { missingClient } from '../fixtures/sshd.ts'
import { type House, house } from '../fixtures/workspaces.ts'
import { until } from '../fixtures/until.ts'

const skip =
  missingClient() ??
  (process.platform === 'linux' && process.getuid?.() === 0 ? false : 'workspaces are tried as root on Linux')
const KEEP = { mode: 'overlay', keep: { minutes: 60, approvers: ['leads'] } } as const
const bob: Identity = {
  ...alice,
  subject: 'https://idp.test|bob' as Subject,
  username: 'bob' as Username,
  groups: ['leads'],
}
const carol: Identity = { ...bob, subject: 'https://idp.test|carol' as Subject, username: 'carol' as Username }

function directoryOf(t: Test): string {
  const directory = mkdtempSync('/var/lib/sallyport-kept-')
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['changed', 'deleted', 'mode']) writeFileSync(join(directory, name), `the text of ${name}\n`)
  mkdirSync(join(directory, 'tree'))
  writeFileSync(join(directory, 'tree/leaf'), 'leaf\n')
  return directory
}

const CHANGES =
  'echo more >>changed; rm deleted; chmod 640 mode; rm -r tree; mkdir -m 750 new; echo fresh >new/file; ln -s /etc/shadow new/link'

async function changed(place: House, directory: string, line = CHANGES) {
  const ran = await place.run(`cd ${directory} && ${line}`)
  await until(() => place.gateway.recorder.sessions.at(-1)?.end !== undefined, 'it was recorded')
  const kept = place.gateway.recorder.sessions.at(-1)
  if (kept === undefined) throw new Error('a session was expected')
  const noted: AuditEvent[] = []
  const desk = keptDesk({
    engine: place.gateway.engine,
    library: {
      session: async (id) =>
        id === kept.start.id
          ? { ...kept.start, end: kept.end, events: 0, bytesIn: 0, bytesOut: 0, statements: 0, denials: 0 }
          : undefined,
    },
    targets: () => [place.gateway.target()],
    roles: () => [place.gateway.role],
    notes: { clock: wallClock, audit: (event) => void noted.push(event) },
  })
  return { ran, desk, noted, id: kept.start.id }
}

async function overAndUnnoted(
  t: Test,
  { desk, id, noted }: Pick<Awaited<ReturnType<typeof changed>>, 'desk' | 'id' | 'noted'>,
  digest: string,
): Promise<void> {
  const before = noted.length
  const nothing = { code: 'NOT_FOUND', message: /Nothing is kept/ }
  await t.rejects(desk.discard(bob, id), nothing, 'nothing to throw away')
  await t.rejects(desk.apply(bob, id, digest), nothing, 'nothing to apply')
  await t.rejects(desk.show(bob, id), nothing, 'nothing to see')
  t.equal(noted.length, before, 'noted nowhere')
}

t.test('kept changes', { skip, timeout: 120_000 }, async (t) => {
  const place = await house(t, userInfo().username, KEEP)

  await t.test('somebody else applies what was shown, and nobody twice', async (t) => {
    const directory = directoryOf(t)
    const before = photograph(directory)
    const { desk, id, noted, ran } = await changed(place, directory)
    t.match(ran.err, `kept for a second person: apply ${id}`)
    t.match(place.gateway.recorder.bytes('m').toString(), /kept for a second person \(sha256 [0-9a-f]{64}\): 8\./)
    t.same(photograph(directory), before, 'nothing happened yet')
    await t.rejects(desk.show(alice, id), { code: 'NOT_FOUND' }, 'not an approver')
    await t.rejects(desk.show({ ...alice, groups: ['leads'] }, id), { code: 'NOT_ALLOWED' }, 'one’s own')
    const { rows, silent } = await desk.list(bob)
    t.match(rows, [{ session: { id, username: 'alice' }, changes: 8, isMine: false, approvers: ['leads'] }])
    t.same(silent, [])
    t.ok((rows[0]?.bytes ?? 0) > 100)
    t.match((await desk.list(alice)).rows, [{ session: { id }, isMine: true }], 'one’s own, to know that it waits')
    t.same((await desk.list({ ...bob, groups: ['others'] })).rows, [], 'nobody else hears of it')
    const layer = await desk.show(bob, id)
    t.match(noted.at(-1), { kind: 'workspace.shown', actor: 'bob', session: id })
    t.equal(layer.digest, rows[0]?.digest)
    t.equal(noted.at(-1)?.details['digest'], layer.digest, 'all of it in the details')
    t.notMatch(noted.at(-1)?.text, /[0-9a-f]{13}/, 'and what people compare in the text')
    t.match(
      layer.changes.find(({ path }) => path.endsWith('/changed')),
      { operation: 'changed', diff: /\+more/ },
    )
    await t.rejects(desk.apply(bob, id, '0'.repeat(64)), { message: /not what was seen/ })
    t.same(photograph(directory), before)
    t.equal(await desk.apply(bob, id, layer.digest), 8)
    t.equal(readFileSync(join(directory, 'changed'), 'utf8'), 'the text of changed\nmore\n')
    t.notOk(existsSync(join(directory, 'deleted')))
    t.notOk(existsSync(join(directory, 'tree')))
    t.equal(lstatSync(join(directory, 'mode')).mode & 0o777, 0o640)
    t.equal(lstatSync(join(directory, 'new')).mode & 0o777, 0o750)
    t.equal(readFileSync(join(directory, 'new/file'), 'utf8'), 'fresh\n')
    t.equal(readlinkSync(join(directory, 'new/link')), '/etc/shadow')
    t.same(readdirSync(directory).toSorted(), ['changed', 'mode', 'new'], 'nothing else is left')
    t.match(noted.at(-1), {
      kind: 'workspace.applied',
      actor: 'bob',
      session: id,
      text: /^bob applied 8 changes of alice\.$/,
    })
    await overAndUnnoted(t, { desk, id, noted }, layer.digest)
    t.same(readdirSync(join(place.host.directory, 'kept')), [])
  })

  await t.test('nothing is applied when something was changed since', async (t) => {
    const meanwhile: readonly (readonly [string, (directory: string) => void])[] = [
      ['a file was written', (d) => writeFileSync(join(d, 'changed'), 'by somebody else\n')],
      ['a file has another mode', (d) => chmodSync(join(d, 'mode'), 0o666)],
      ['a file is gone', (d) => rmSync(join(d, 'deleted'))],
      ['a name is taken', (d) => mkdirSync(join(d, 'new'))],
      ['a directory is a link now', (d) => (renameSync(d, `${d}-away`), symlinkSync(`${d}-away`, d))],
    ]
    for (const [what, act] of meanwhile) {
      const directory = directoryOf(t)
      t.teardown(() => rmSync(`${directory}-away`, { recursive: true, force: true }))
      const { desk, id, noted } = await changed(place, directory)
      const layer = await desk.show(bob, id)
      act(directory)
      const before = photograph(`${directory}/`)
      await t.rejects(desk.apply(bob, id, layer.digest), { message: /Nothing was applied/ }, what)
      t.same(photograph(`${directory}/`), before)
      t.match(noted.at(-1), { kind: 'workspace.refused' })
      await desk.discard(bob, id)
      await overAndUnnoted(t, { desk, id, noted }, layer.digest)
    }
  })

  await t.test('of two who decide at once one does, and the other hears that nothing is kept', async (t) => {
    for (const [first, second] of [
      ['discard', 'discard'],
      ['apply', 'apply'],
      ['apply', 'discard'],
      ['discard', 'apply'],
    ] as const) {
      const { desk, id, noted } = await changed(place, directoryOf(t))
      const { digest } = await desk.show(bob, id)
      const does = { apply: () => desk.apply(bob, id, digest), discard: () => desk.discard(carol, id) }
      const ends = await Promise.allSettled([does[first](), does[second]()])
      const lost = ends.filter((end) => end.status === 'rejected')
      t.match(lost, { length: 1, 0: { reason: { message: /Nothing is kept/ } } }, `${first}, ${second}`)
      t.equal(noted.filter(({ kind }) => /applied|discarded/.test(kind)).length, 1)
      await overAndUnnoted(t, { desk, id, noted }, digest)
    }
  })

  await t.test(
    'a host keeps so much and no more, whoever comes: nobody’s changes push out those of others',
    async (t) => {
      const small = await house(t, userInfo().username, KEEP, { keptMegabytes: 1 })
      const directory = directoryOf(t)
      const first = await changed(small, directory, 'head -c 600000 /dev/urandom >first')
      t.match(first.ran.err, `kept for a second person: apply ${first.id}`)
      const second = await changed(small, directory, 'head -c 600000 /dev/urandom >second')
      t.match(second.ran.err, /thrown away: This host keeps 1 MB of changes at most/)
      t.match(small.gateway.recorder.bytes('m').toString(), /thrown away \(This host keeps 1 MB/)
      t.match((await second.desk.list(bob)).rows, { length: 0 }, 'of the second')
      t.match((await first.desk.list(bob)).rows, [{ session: { id: first.id } }], 'the first still waits')
      await first.desk.discard(bob, first.id)
      t.same((await first.desk.list(bob)).rows, [])
      const third = await changed(small, directory, 'head -c 600000 /dev/urandom >third')
      t.match(third.ran.err, 'kept for a second person', 'and then there is room')
    },
  )

  await t.test('what cannot be applied is not kept', async (t) => {
    for (const [line, why] of [
      ['mkfifo pipe', /a pipe or a socket/],
      ['truncate -s 60M sparse', /larger than their workspace/],
      ['head -c 900000 /dev/zero >first; for i in $(seq 20); do ln first $i; done', /larger than their workspace/],
      ['cp /usr/bin/id . && chmod 4755 id', /setuid/],
      ['truncate -s 100G sparse', /too large/],
    ] as const) {
      const directory = directoryOf(t)
      const { desk, id, ran } = await changed(place, directory, line)
      t.match(ran.err, why)
      await t.rejects(desk.show(bob, id), { code: 'NOT_FOUND' })
    }
    t.same(readdirSync(join(place.host.directory, 'kept')), [])
  })
})
