/** The evidence about a grant as one file: taken from a real ClickHouse, checked by the program that auditors run, and by hand where it was tampered with. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { approve, type GrantId, type RequestedGrant } from '../../gateway/model/grant.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { openLibrary, readPublicKeys, startShipper, verifyEvidenceFile } from '../../gateway/recorder/recorder.ts'
import { embeddedClickHouse, noClickHouse, temporaryDir } from '../fixtures/clickhouse.ts'
import { people } from '../fixtures/grants.ts'
import { collect, journalAt, sessionEnd, sessionStart } from './parts.ts'
import { until } from '../fixtures/until.ts'

const run = (...args: string[]) =>
  spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', 'tools/verify.ts', ...args], {
    encoding: 'utf8',
  })

const engine = await embeddedClickHouse(t)
if (engine === undefined) t.plan(0, noClickHouse)
else {
  const dir = temporaryDir(t, 'journal')
  const journal = journalAt(dir)
  const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
  t.teardown(() => shipper.stop())
  const library = openLibrary(engine.auditor, dir)
  t.teardown(() => library.close())
  const { alice, bob } = people
  const asked: RequestedGrant = {
    ...alice,
    id: '4711' as GrantId,
    target: 'prod-db',
    role: 'operator',
    endpoints: ['ssh'],
    minutes: 30,
    reason: 'Disk is full',
    ticket: 'INC-42',
    requestedAt: wallClock.now(),
    approvalsNeeded: 1,
    approvals: [],
    state: 'requested',
  }
  const grant = approve(asked, bob, wallClock.now())
  if (typeof grant === 'string') throw new Error(grant)
  const recorded = [0, 1].map((n) => {
    const start = { ...sessionStart(), grant: grant.id }
    const recording = journal.open(start)
    for (let i = 0; i < 50; i += 1) recording.take('o', Buffer.from(`session ${n} line ${i}\r\n`))
    return { start, recording }
  })
  const stranger = journal.open(sessionStart())
  stranger.take('o', Buffer.from('of another grant'))
  journal.audit({
    id: crypto.randomUUID(),
    at: wallClock.now(),
    kind: 'grant.approved',
    actor: 'bob',
    grant: grant.id,
    session: undefined,
    target: grant.target,
    text: 'bob approved request 4711 of alice.',
    details: {},
  })
  for (const { recording } of [...recorded, { recording: stranger }]) recording.end(sessionEnd())
  await journal.close()
  await until(async () => {
    const rows = await library.sessions({ grant: grant.id })
    return rows.length === 2 && rows.every((row) => row.end !== undefined) ? rows : undefined
  })
  const lines = await until(async () => {
    const taken = await collect(library.evidence({ grant, role: undefined, by: 'carol', at: wallClock.now() }))
    return taken.filter((line) => line.startsWith('{"event"')).length === 100 ? taken : undefined
  })
  const keys = readPublicKeys(dir)
  const check = (text: readonly string[]) =>
    verifyEvidenceFile(
      (async function* () {
        yield* text
      })(),
      keys,
    )

  await t.test('it tells who, why, who approved and what was recorded, and is sound', async (t) => {
    t.match(JSON.parse(lines[0] ?? ''), {
      by: 'carol',
      grant: { reason: grant.reason, proof: { amr: grant.proof.amr } },
    })
    t.match(lines.join(''), 'bob approved request 4711 of alice.')
    t.notMatch(lines.join(''), Buffer.from('of another grant').toString('base64'), 'and nothing of other grants')
    const found = await check(lines)
    t.match(found, { sessions: 2, records: 100, unsigned: 0, damages: [], key: { isKnown: true } })
    t.match(found.about, /^Grant 4711 of alice: /)
  })

  await t.test('npm run verify takes the file', (t) => {
    const file = path.join(temporaryDir(t, 'evidence'), 'grant-4711.evidence')
    writeFileSync(file, lines.join(''))
    const sound = run(file, '--keys', dir)
    t.match(sound.stdout, /one of your keys[\s\S]*2 sessions, 100 records[\s\S]*Nothing was changed/)
    t.equal(sound.status, 0)
    t.match(run(file).stdout, /as the file says of itself/, 'without keys it does not claim to know who made it')
    writeFileSync(file, lines.join('').replace('bob approved', 'eve approved'))
    const changed = run(file, '--keys', dir)
    t.match(changed.stdout, /DAMAGE {2}The file was changed after it was signed/)
    t.equal(changed.status, 1)
    writeFileSync(file, 'not evidence\n')
    t.equal(run(file).status, 2)
    t.end()
  })

  await t.test('whatever is taken out, put in or turned around is found', async (t) => {
    const at = (start: string, nth = 0) => lines.flatMap((line, i) => (line.startsWith(start) ? [i] : []))[nth] ?? -1
    const event = at('{"event"', 20)
    const without = (index: number) => lines.toSpliced(index, 1)
    const says = async (name: string, text: readonly string[], what: RegExp) =>
      t.match((await check(text)).damages.map(({ message }) => message).join('\n'), what, name)
    await says('an event less', without(event), /is missing|were changed|are missing/)
    await says(
      'two events swapped',
      lines.with(event, lines[event + 1] ?? '').with(event + 1, lines[event] ?? ''),
      /missing/,
    )
    const other = Buffer.from('something else').toString('base64')
    await says(
      'an event changed',
      lines.with(event, (lines[event] ?? '').replace(/"[^"]*"\]\}\n$/, `"${other}"]}\n`)),
      /do not fit their checkpoint/,
    )
    await says(
      'a session less',
      lines.toSpliced(at('{"session"'), at('{"session"', 1) - at('{"session"')),
      /row of session .* is missing/,
    )
    await says('an approval less', without(at('{"audit"')), /changed after it was signed/)
    await says('cut short', lines.slice(0, -1), /ends before its signature/)
    await says('something added', [...lines, lines[event] ?? ''], /added after the signature/)
    await says('no JSON', lines.with(event, '{"event":[1,\n'), /is damaged/)
  })

  await t.test('a file that somebody else signed is not ours', async (t) => {
    const elsewhere = temporaryDir(t, 'elsewhere')
    const theirs = openLibrary(engine.auditor, elsewhere)
    t.teardown(() => theirs.close())
    const text = await collect(theirs.evidence({ grant, role: undefined, by: 'eve', at: wallClock.now() }))
    const found = await check(text)
    t.match(found.damages, [{ message: 'The file is signed by an unknown key.' }])
    t.equal(found.key.isKnown, false)
  })
}
