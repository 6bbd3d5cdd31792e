/** ssh and psql wait for a browser: who may let them through, and what the key is worth afterwards. */
import t from 'tap'
import { isSameAddress } from '../../gateway/identity/address.ts'
import { endSignIns } from '../../gateway/identity/identity.ts'
import type { Identity, Username } from '../../gateway/model/identity.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { scramVerifier } from '../../gateway/postgres/scram.ts'
import { demoIdp, people, providerAt } from '../fixtures/idp.ts'
import { HERE, PUBLIC, refusalOf, signIn, sshQuestion, type World, world } from './world.ts'

type Test = { teardown(work: () => unknown): void }

const ALICE = 'alice' as Username
const KEY = 'SHA256:alices-laptop'
const never = new AbortController().signal

async function withAlice(t: Test, how: Parameters<typeof world>[2] = {}) {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)], how)
  const { identity, session } = await signIn(w, idp, people.alice)
  w.audit.length = 0
  return { idp, w, identity, session, here: { identity, address: HERE } }
}

const kinds = ({ audit }: World) => audit.map(({ kind }) => kind)

await t.test('a terminal waits, the browser takes its code, the terminal goes on, and the key is known', async (t) => {
  const { w, identity, here } = await withAlice(t)
  t.equal(await w.room.bound(ALICE, KEY), undefined)
  const waiting = await w.room.ask(sshQuestion())
  t.match(waiting.code, /^[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}$/)
  t.equal(waiting.url, `${PUBLIC}/approve/${waiting.id}`)
  const plain = waiting.code.replace('-', '')
  t.notOk(waiting.url.includes(plain) || waiting.url.includes(waiting.code), 'the code is not part of the link')
  t.notOk(JSON.stringify(await w.state.all('select * from waiting_sign_ins')).includes(plain), 'nor of the store')
  const question = await w.room.question(waiting.id, here)
  t.match(question, {
    kind: 'ssh',
    direction: 'type',
    username: 'alice',
    sourceAddress: HERE,
    clientVersion: 'OpenSSH_9.2p1',
    keyFingerprint: KEY,
    expiresAt: waiting.expiresAt,
    sameAddress: true,
    signInAgain: false,
    connections: 1,
  })
  t.notOk(JSON.stringify(question).includes(plain), 'nor of the page')
  const signedIn = waiting.wait(never)
  const typed = ` ${waiting.code.toLowerCase().replace('-', ' ')} `
  t.same(await w.room.answer(waiting.id, typed, here), { right: true }, 'typed as people type')
  t.same(await signedIn, identity)
  t.same(kinds(w), ['identity.key-bound', 'identity.signed-in'])
  t.match(w.audit[1], { actor: 'alice', details: { via: 'ssh', address: HERE, key: KEY, browser: HERE } })
  t.same(await w.room.bound(ALICE, KEY), identity)
  t.equal(await w.room.bound(ALICE, 'SHA256:another'), undefined)
  t.equal(await w.room.bound('bob' as Username, KEY), undefined)
  t.match(await w.room.keys(identity), [{ fingerprint: KEY }])
})

await t.test('an approval is good once', async (t) => {
  const { w, here } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  t.same(await w.room.answer(waiting.id, waiting.code, here), { right: true })
  t.equal(await refusalOf(w.room.answer(waiting.id, waiting.code, here)), 'NOT_FOUND')
  t.equal(await refusalOf(w.room.question(waiting.id, here)), 'NOT_FOUND')
  t.ok(await waiting.wait(never))
  t.equal(await refusalOf(waiting.wait(never)), 'NOT_SIGNED_IN', 'nor does a second connection get in by it')
})

await t.test(
  'the link without the code lets nobody through, and the code of another sign-in does not either',
  async (t) => {
    const { w, here } = await withAlice(t)
    const attackers = await w.room.ask(sshQuestion('alice', { keyFingerprint: 'SHA256:somebody-else' }))
    const mine = await w.room.ask(sshQuestion())
    t.same(await w.room.answer(attackers.id, '', here), { right: false, triesLeft: 4 })
    t.same(await w.room.answer(attackers.id, mine.code, here), { right: false, triesLeft: 3 })
    t.equal(await w.room.bound(ALICE, 'SHA256:somebody-else'), undefined)
    t.same(await w.room.answer(mine.id, mine.code, here), { right: true }, 'mine is not harmed')
    t.equal((await w.room.question(attackers.id, here)).id, attackers.id, 'and does not let the other through')
  },
)

await t.test('five wrong codes end it', async (t) => {
  const { w, here } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  const signedIn = refusalOf(waiting.wait(never))
  const guesses = await Promise.all(
    Array.from({ length: 8 }, async () => {
      try {
        return (await w.room.answer(waiting.id, 'AAAA-AAAA', here)) as { triesLeft: number }
      } catch {
        return undefined
      }
    }),
  )
  t.equal(guesses.filter((guess) => guess !== undefined).length, 5, 'however fast they come')
  t.equal(await refusalOf(w.room.answer(waiting.id, waiting.code, here)), 'NOT_FOUND', 'now the right one is too late')
  t.equal(await signedIn, 'NOT_SIGNED_IN')
  t.same(kinds(w), ['identity.refused'])
  t.match(w.audit[0], { text: 'Too many wrong codes.' })
})

await t.test('only the person whom ssh named can let it through', async (t) => {
  const { w, idp } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  const { identity: bob } = await signIn(w, idp, people.bob)
  const there = { identity: bob, address: HERE }
  const tries: readonly Promise<unknown>[] = [
    w.room.question(waiting.id, there),
    w.room.answer(waiting.id, waiting.code, there),
    w.room.deny(waiting.id, there),
    w.room.question('not-there', there),
  ]
  for (const refused of tries)
    await t.rejects(async () => refused, { code: 'NOT_FOUND', message: 'This sign-in is over, or it is not yours.' })
  t.match(w.audit.at(-1), { kind: 'identity.refused', actor: 'bob', details: { for: 'alice' } })
})

await t.test('a browser somewhere else is refused, and can still say no', async (t) => {
  const { w, identity } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  const signedIn = waiting.wait(never)
  const elsewhere = { identity, address: '198.51.100.7' }
  t.match(await w.room.question(waiting.id, elsewhere), { sameAddress: false })
  await t.rejects(w.room.answer(waiting.id, waiting.code, elsewhere), { code: 'NOT_ALLOWED', next: /192\.0\.2\.10/ })
  t.match(w.audit.at(-1), { kind: 'identity.refused', details: { address: HERE, browser: '198.51.100.7' } })
  const ended = t.rejects(signedIn, { code: 'NOT_SIGNED_IN', message: 'alice said no in the browser.' })
  await w.room.deny(waiting.id, elsewhere)
  await ended
  t.equal(await refusalOf(w.room.deny(waiting.id, elsewhere)), 'NOT_FOUND')

  const { w: open, identity: alice } = await withAlice(t, { settings: { allowOtherAddress: true } })
  const other = await open.room.ask(sshQuestion())
  t.same(await open.room.answer(other.id, other.code, { identity: alice, address: '198.51.100.7' }), { right: true })
})

await t.test('what counts as the same address', async (t) => {
  for (const [a, b] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['127.0.0.1', '::1'],
    ['127.0.0.1', '::ffff:127.0.0.1'],
    ['2001:db8:1:2::1', '2001:db8:1:2:aaaa:bbbb:cccc:dddd'],
    ['fe80::1%eth0', 'fe80::2%eth0'],
  ] as const)
    t.ok(isSameAddress(a, b), `${a} and ${b}`)
  for (const [a, b] of [
    ['192.0.2.1', '192.0.2.2'],
    ['2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['127.0.0.1', '192.0.2.1'],
    ['::1', '2001:db8::1'],
    ['', ''],
    ['unknown', 'unknown'],
    ['127.evil', '127.0.0.1'],
  ] as const)
    t.notOk(isSameAddress(a, b), `${a} and ${b}`)
})

await t.test('an old sign-in must be made anew before it can let another through', async (t) => {
  const { w, idp, here } = await withAlice(t)
  w.later(5 * 60_000 + 2000)
  const waiting = await w.room.ask(sshQuestion())
  t.match(await w.room.question(waiting.id, here), { signInAgain: true })
  await t.rejects(w.room.answer(waiting.id, waiting.code, here), { code: 'MFA_MISSING', next: 'Sign in again.' })
  w.later(-5 * 60_000 - 2000)
  const { identity, returnTo } = await signIn(w, idp, people.alice, { returnTo: `/approve/${waiting.id}` })
  t.equal(returnTo, `/approve/${waiting.id}`)
  t.same(await w.room.answer(waiting.id, waiting.code, { identity, address: HERE }), { right: true })
})

await t.test('nobody waits for ever', async (t) => {
  const { w, here } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  const signedIn = t.rejects(waiting.wait(never), { code: 'NOT_SIGNED_IN', message: 'Nobody signed in, in time.' })
  w.later(120_000)
  t.equal(await refusalOf(w.room.answer(waiting.id, waiting.code, here)), 'NOT_FOUND')
  await signedIn
  t.same(kinds(w), ['identity.refused'])
  w.later(11 * 60_000)
  await w.room.sweep()
  t.same(await w.state.all('select id from waiting_sign_ins'), [])
})

await t.test('when the client has gone there is nothing left to approve', async (t) => {
  const { w, here } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  const gone = new AbortController()
  const signedIn = waiting.wait(gone.signal)
  const why = new Error('connection closed')
  gone.abort(why)
  await t.rejects(signedIn, why)
  t.equal(await refusalOf(w.room.answer(waiting.id, waiting.code, here)), 'NOT_FOUND')
  t.equal(await w.room.bound(ALICE, KEY), undefined)
})

await t.test('a sign-in that waits in one worker is approved in another', async (t) => {
  const { w, identity, here } = await withAlice(t, { workers: 2 })
  const [one, two] = w.rooms
  const waiting = await one?.ask(sshQuestion())
  if (one === undefined || two === undefined || waiting === undefined) throw new Error('two workers')
  const signedIn = waiting.wait(never)
  t.same(await two.answer(waiting.id, waiting.code, here), { right: true })
  t.same(await signedIn, identity)
  t.same(await one.bound(ALICE, KEY), identity)
  t.same(await two.bound(ALICE, KEY), identity)
})

await t.test('connections of one key from one place share an approval, in whichever worker they wait', async (t) => {
  const { w, identity, here } = await withAlice(t, { workers: 2 })
  const [one, two] = w.rooms
  if (one === undefined || two === undefined) throw new Error('two workers')
  const first = await one.ask(sshQuestion())
  const second = await two.ask(sshQuestion())
  const elsewhere = await two.ask(sshQuestion('alice', { sourceAddress: '192.0.2.99' }))
  t.not(first.code, second.code)
  const both = Promise.all([first.wait(never), second.wait(never)])
  t.match(await one.question(first.id, here), { connections: 2 })
  t.same(await one.answer(second.id, first.code, here), { right: false, triesLeft: 4 }, 'each has a code of its own')
  t.same(await one.answer(first.id, first.code, here), { right: true })
  t.same(await both, [identity, identity])
  t.equal((await two.question(elsewhere.id, here)).connections, 1, 'one from somewhere else waits on')
})

await t.test('psql without a key: the same target from the same place', async (t) => {
  const { w, identity, here } = await withAlice(t)
  const psql = (more: object = {}) =>
    w.room.ask(sshQuestion('alice', { kind: 'postgres', keyFingerprint: undefined, target: 'prod-db', ...more }))
  const [first, second, other] = [await psql(), await psql(), await psql({ target: 'prod-web' })]
  t.same(await w.room.answer(first.id, first.code, here), { right: true })
  t.same(await Promise.all([first.wait(never), second.wait(never)]), [identity, identity])
  t.match(await w.room.question(other.id, here), { target: 'prod-web', connections: 1 })
  t.same(await w.room.keys(identity), [], 'no key is bound')
  t.match(w.audit, [{ kind: 'identity.signed-in', target: 'prod-db', details: { via: 'postgres' } }])
})

await t.test('the other way round: the browser shows the code, the terminal types it', async (t) => {
  const { w, identity, here } = await withAlice(t)
  const reverse = await w.room.askReverse(sshQuestion('alice', { keyFingerprint: undefined }))
  const id = reverse.url.split('/').at(-1) ?? ''
  t.match(await w.room.question(id, here), { direction: 'show' })
  t.equal(await reverse.attempt('AAAA-AAAA'), undefined, 'before anybody signed in')
  t.equal(await refusalOf(w.room.answer(id, 'AAAA-AAAA', here)), 'NOT_FOUND', 'the page takes no code here')
  t.equal(await refusalOf(w.room.revealCode(id, { identity, address: '198.51.100.7' })), 'NOT_ALLOWED')
  const old = await w.room.revealCode(id, here)
  const { code, expiresAt } = await w.room.revealCode(id, here)
  t.equal(expiresAt, reverse.expiresAt)
  t.equal(await reverse.attempt(old.code), undefined, 'a code that was replaced is worthless')
  t.equal(await reverse.attempt('AAAA-AAAA'), undefined)
  t.same(await reverse.attempt(code.toLowerCase()), identity)
  t.equal(await refusalOf(reverse.attempt(code)), 'NOT_SIGNED_IN', 'once')
  t.same(kinds(w), ['identity.refused', 'identity.signed-in'])
})

await t.test('the other way round, five tries and two minutes', async (t) => {
  const { w, here } = await withAlice(t)
  const guessed = await w.room.askReverse(sshQuestion('alice', { keyFingerprint: undefined }))
  const { code } = await w.room.revealCode(guessed.url.split('/').at(-1) ?? '', here)
  for (let n = 0; n < 4; n += 1) t.equal(await guessed.attempt('AAAA-AAAA'), undefined)
  await t.rejects(guessed.attempt('AAAA-AAAA'), { code: 'NOT_SIGNED_IN', message: 'Too many wrong codes.' })
  t.equal(await refusalOf(guessed.attempt(code)), 'NOT_SIGNED_IN')
  const late = await w.room.askReverse(sshQuestion('alice', { keyFingerprint: undefined }))
  const shown = await w.room.revealCode(late.url.split('/').at(-1) ?? '', here)
  w.later(120_000)
  await t.rejects(late.attempt(shown.code), { code: 'NOT_SIGNED_IN', message: 'Nobody signed in, in time.' })
})

await t.test('a key stands for its person for a while, and no longer', async (t) => {
  const { w, identity, here } = await withAlice(t)
  const bind = async (fingerprint: string) => {
    const waiting = await w.room.ask(sshQuestion('alice', { keyFingerprint: fingerprint }))
    await w.room.answer(waiting.id, waiting.code, here)
    await waiting.wait(never)
  }
  await bind(KEY)
  await bind('SHA256:desk')
  await bind('SHA256:phone')
  await w.room.forgetKey(identity, 'SHA256:desk')
  t.equal(await w.room.bound(ALICE, 'SHA256:desk'), undefined)
  t.equal(await refusalOf(w.room.forgetKey(identity, 'SHA256:desk')), 'NOT_FOUND')
  t.equal(w.audit.at(-1)?.kind, 'identity.key-unbound')
  w.locked.set(identity.subject, 'alice is locked')
  t.equal(await refusalOf(w.room.bound(ALICE, KEY)), 'LOCKED')
  w.locked.clear()
  w.later(8 * 3_600_000 - 60_000)
  t.ok(await w.room.bound(ALICE, KEY))
  w.later(60_000)
  t.equal(await w.room.bound(ALICE, KEY), undefined, 'a working day')
  t.same(await w.room.keys(identity), [])
  w.later(-8 * 3_600_000)
  t.equal(await w.room.forget(identity), 2)
  t.equal(await w.room.bound(ALICE, KEY), undefined)

  const { w: long, here: there, identity: alice } = await withAlice(t, { settings: { keyBoundForMs: 7 * 86_400_000 } })
  const waiting = await long.room.ask(sshQuestion())
  await long.room.answer(waiting.id, waiting.code, there)
  const [key] = await long.room.keys(alice)
  t.ok((key?.expiresAt ?? 0) - (key?.boundAt ?? 0) === 12 * 3_600_000, 'whatever the config says')
})

await t.test('groups are those of the last sign-in', async (t) => {
  const { w, here } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  await w.room.answer(waiting.id, waiting.code, here)
  await w.state.run('update people set member_of = $1 where username = $2', ['["nobody"]', 'alice'])
  t.match(await w.room.bound(ALICE, KEY), { groups: ['nobody'] })
})

await t.test('groups count for so long; then nothing stands for their person until they sign in again', async (t) => {
  const { w, here, identity, session } = await withAlice(t, {
    settings: { groupsHoldMs: 3_600_000, sessionIdleMs: 12 * 3_600_000 },
  })
  const waiting = await w.room.ask(sshQuestion())
  await w.room.answer(waiting.id, waiting.code, here)
  const until = (Date.now() + 24 * 3_600_000) as Moment
  await w.room.leases.put('a place', identity, until)
  await w.room.tokens.issue(identity, 8 * 3_600_000)
  const standing = async () => [
    (await w.room.bound(ALICE, KEY)) !== undefined,
    (await w.room.leases.get('a place')) !== undefined,
    (await w.room.tokens.live(ALICE)) !== undefined,
    (await w.room.session(session)) !== undefined,
  ]
  w.later(59 * 60_000)
  t.same(await standing(), [true, true, true, true])
  w.later(60_000)
  t.same(await standing(), [false, false, false, false])
  await w.state.run('update people set seen_at = $1', [Date.now() + 3_600_000])
  t.same(await standing(), [true, true, true, true], 'a sign-in anywhere names the groups anew')
})

await t.test('a crowd at the door is turned away, others are not', async (t) => {
  const { w } = await withAlice(t)
  const ask = (n: number, more: object = {}) =>
    refusalOf(w.room.ask(sshQuestion('alice', { keyFingerprint: `SHA256:${n}`, ...more })))
  for (let n = 0; n < 8; n += 1) t.equal(await ask(n), 'none')
  t.equal(await ask(8), 'TOO_MANY', 'one person')
  t.equal(await ask(3), 'none', 'more connections of a key that waits already')
  for (let n = 0; n < 8; n += 1) t.equal(await ask(0, { username: `person-${n}` }), 'none')
  t.equal(await ask(0, { username: 'person-9' }), 'TOO_MANY', 'one address')
  t.equal(await ask(0, { username: 'person-9', sourceAddress: '192.0.2.11' }), 'none')
  w.later(120_000)
  t.equal(await ask(8), 'none')
  t.same(w.audit, [], 'auditors are not flooded')
})

await t.test('strangers elsewhere who know a name do not keep its owner out', async (t) => {
  const { w } = await withAlice(t)
  for (let n = 0; n < 20; n += 1)
    t.equal(
      await refusalOf(
        w.room.ask(sshQuestion('alice', { keyFingerprint: `SHA256:${n}`, sourceAddress: `198.51.100.${n % 4}` })),
      ),
      'none',
    )
  t.equal(await refusalOf(w.room.ask(sshQuestion())), 'none')
})

await t.test('who hangs up before the code was typed leaves no crowd behind', async (t) => {
  const { w, here } = await withAlice(t)
  const left: string[] = []
  for (let n = 0; n < 20; n += 1) {
    const gone = new AbortController()
    const { url } = await w.room.askReverse(sshQuestion('alice', { keyFingerprint: undefined }), gone.signal)
    gone.abort()
    left.push(url.split('/').at(-1) ?? '')
    await new Promise((wake) => setTimeout(wake, 5))
  }
  for (const id of left) t.equal(await refusalOf(w.room.revealCode(id, here)), 'NOT_FOUND', 'nothing to reveal either')
})

await t.test(
  'a sign-in without a key stands as long as a key would: not after a logout, a lock or its time',
  async (t) => {
    const { w, identity, here } = await withAlice(t)
    const enter = async () => {
      const reverse = await w.room.askReverse(sshQuestion('alice', { keyFingerprint: undefined }))
      t.equal(await reverse.still(), undefined, 'nobody yet')
      const { code } = await w.room.revealCode(reverse.url.split('/').at(-1) ?? '', here)
      await reverse.attempt(code)
      t.same(await reverse.still(), identity)
      return reverse
    }
    const first = await enter()
    await w.room.forget(identity)
    t.equal(await first.still(), undefined, 'after a logout')
    const second = await enter()
    w.locked.set(identity.subject, 'alice is locked')
    t.equal(await refusalOf(second.still()), 'LOCKED')
    w.locked.clear()
    t.same(await second.still(), identity)
    w.later(8 * 3_600_000)
    t.equal(await second.still(), undefined, 'after its time')
  },
)

await t.test('what a client says about itself cannot draw on the page', async (t) => {
  const { w, here } = await withAlice(t)
  const hostile = `SSH-2.0-x\u001b[2J\r\n\u202e\u0000<script>${'y'.repeat(1000)}`
  const { id } = await w.room.ask(sshQuestion('alice', { clientVersion: hostile }))
  const { clientVersion } = await w.room.question(id, here)
  t.equal(clientVersion.length, 200)
  t.match(clientVersion, /^SSH-2\.0-x\?\[2J\?\?\?\?<script>y+$/)
})

await t.test('who was locked meanwhile does not get in by an approval', async (t) => {
  const { w, identity, here } = await withAlice(t)
  const waiting = await w.room.ask(sshQuestion())
  await w.room.answer(waiting.id, waiting.code, here)
  w.locked.set((identity satisfies Identity).subject, 'alice is locked')
  t.equal(await refusalOf(waiting.wait(never)), 'LOCKED')
})

await t.test('a database token is a password for hours, and the store cannot tell it', async (t) => {
  const { w, identity } = await withAlice(t, { workers: 2 })
  const [one, two] = w.rooms
  if (one === undefined || two === undefined) throw new Error('two workers')
  t.equal(await one.tokens.live(ALICE), undefined)
  const old = await one.tokens.issue(identity, 3_600_000)
  const { token, expiresAt } = await one.tokens.issue(identity, 3_600_000)
  t.match(token, /^sallyport_[\w-]{43}$/)
  t.not(token, old.token)
  const live = await two.tokens.live(ALICE)
  t.same(live?.identity, identity)
  const [, iterations, salt = ''] = /^SCRAM-SHA-256\$(\d+):([^$]+)\$/.exec(live?.verifier ?? '') ?? []
  const check = (password: string) => scramVerifier(password, Number(iterations), Buffer.from(salt, 'base64'))
  t.equal(await check(token), live?.verifier, 'as PostgreSQL would check it')
  t.not(await check(old.token), live?.verifier, 'the one before is worthless')
  t.notOk(JSON.stringify([await w.state.all('select * from database_tokens'), w.audit]).includes(token.slice(10)))
  t.match(w.audit.at(-1), { kind: 'identity.token-issued', actor: 'alice' })
  t.equal(await one.tokens.until(identity), expiresAt)
  w.locked.set(identity.subject, 'alice is locked')
  t.equal(await refusalOf(two.tokens.live(ALICE)), 'LOCKED')
  t.equal(await refusalOf(two.tokens.issue(identity, 1000)), 'LOCKED')
  w.locked.clear()
  w.later(3_600_000)
  t.equal(await two.tokens.live(ALICE), undefined)
  const long = await one.tokens.issue(identity, 30 * 86_400_000)
  t.ok(long.expiresAt - Date.now() <= 13 * 3_600_000 + 5000, 'twelve hours at most')
  t.equal(await two.tokens.revoke(identity), true)
  t.equal(await one.tokens.live(ALICE), undefined)
  t.equal(await two.tokens.revoke(identity), false)
})

await t.test('a lock ends all that lets its person in, on every worker, and its end gives nothing back', async (t) => {
  const { w, identity, session, here } = await withAlice(t, { workers: 2 })
  const [one, two] = w.rooms
  if (one === undefined || two === undefined) throw new Error('two workers')
  const asked = await one.ask(sshQuestion('alice', { keyFingerprint: KEY }))
  await one.answer(asked.id, asked.code, here)
  await asked.wait(never)
  await one.tokens.issue(identity, 3_600_000)
  await one.leases.put('alice|192.0.2.10|prod-db', identity, (Date.now() + 60_000) as Moment)
  const late = await one.ask(sshQuestion('alice', { keyFingerprint: 'SHA256:late' }))
  await one.answer(late.id, late.code, here)
  const ways = () => [
    two.bound(ALICE, KEY),
    two.session(session),
    two.tokens.live(ALICE),
    two.leases.get('alice|192.0.2.10|prod-db'),
  ]
  t.notOk((await Promise.all(ways())).includes(undefined))
  w.locked.set(identity.subject, 'alice is locked')
  await w.state.tx((tx) => endSignIns(tx, { username: ALICE, subject: undefined }))
  for (const way of ways()) t.equal(await refusalOf(way), 'LOCKED', 'who comes with what was theirs hears why')
  w.locked.clear()
  t.same(await Promise.all(ways()), [undefined, undefined, undefined, undefined])
  t.equal(await refusalOf(late.wait(never)), 'NOT_SIGNED_IN', 'nor is what was approved before')
  t.match(await two.roster.list(), [{ username: 'alice', keys: [], browsers: 0, tokenUntil: undefined }])
})

await t.test('a lease serves all workers, until it ends or the person signs out', async (t) => {
  const { w, identity } = await withAlice(t, { workers: 2 })
  const [one, two] = w.rooms
  if (one === undefined || two === undefined) throw new Error('two workers')
  const end = (Date.now() + 60_000) as Moment
  await one.leases.put('alice|192.0.2.10|prod-db', identity, end)
  t.same(await two.leases.get('alice|192.0.2.10|prod-db'), identity)
  t.equal(await two.leases.get('alice|192.0.2.11|prod-db'), undefined)
  w.locked.set(identity.subject, 'alice is locked')
  t.equal(await refusalOf(two.leases.get('alice|192.0.2.10|prod-db')), 'LOCKED')
  w.locked.clear()
  w.later(60_001)
  t.equal(await two.leases.get('alice|192.0.2.10|prod-db'), undefined)
  w.later(-60_001)
  await one.tokens.issue(identity, 1000)
  await two.forget(identity)
  t.equal(await one.leases.get('alice|192.0.2.10|prod-db'), undefined)
  t.equal(await one.tokens.live(ALICE), undefined, 'nor is a token left')
})
