/** Passkeys: whose they are, what they sign, and that a session which asks for one gets nothing else. */
import t from 'tap'
import type { GrantId } from '../../gateway/model/grant.ts'
import type { Identity, Username } from '../../gateway/model/identity.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { Authenticator, type Lie } from '../fixtures/authenticator.ts'
import { demoIdp, people, providerAt } from '../fixtures/idp.ts'
import { HERE, PUBLIC, refusalOf, signIn, sshQuestion, type World, world } from './world.ts'

const GRANT = '1' as GrantId
const now = () => Date.now() as Moment
const never = new AbortController().signal

async function inhabited(t: { teardown(work: () => unknown): void }) {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)], { workers: 2 })
  const alice = (await signIn(w, idp, people.alice)).identity
  const bob = (await signIn(w, idp, people.bob)).identity
  w.audit.length = 0
  return { w, alice, bob, key: new Authenticator(PUBLIC) }
}

const challengeOf = (options: object): { readonly challenge: string } => options as { readonly challenge: string }

async function register({ room }: World, who: Identity, key: Authenticator, lie: Lie = {}): Promise<void> {
  const options = challengeOf(await room.passkeys.beginRegistration(who))
  await room.passkeys.finishRegistration(who, 'blue key', key.create(options, lie))
}

/** A touch for a session on a target, opened in the browser; the confirmation. */
async function confirm({ room }: World, who: Identity, key: Authenticator, lie: Lie = {}): Promise<string> {
  const options = challengeOf(await room.passkeys.begin(who, 'target prod-db'))
  return (await room.passkeys.confirm(who, 'prod-db', key.get(options, lie))).confirmation
}

const question = sshQuestion('alice', { target: 'prod-db' }) as ReturnType<typeof sshQuestion> & { target: string }

await t.test('a passkey is registered, listed, used and removed, and auditors hear of it', async (t) => {
  const { w, alice, bob, key } = await inhabited(t)
  t.same(await w.room.passkeys.list(alice), [])
  await register(w, alice, key)
  t.match(await w.room.passkeys.list(alice), [{ id: key.id, name: 'blue key', usedAt: undefined }])
  t.same(await w.room.passkeys.list(bob), [], 'of nobody else')
  await confirm(w, alice, key)
  t.ok((await w.room.passkeys.list(alice))[0]?.usedAt)
  t.equal(await refusalOf(w.room.passkeys.forget(bob, key.id)), 'NOT_FOUND')
  await w.room.passkeys.forget(alice, key.id)
  t.equal(await refusalOf(confirm(w, alice, key)), 'PASSKEY_MISSING', 'with the way to register one')
  t.same(
    w.audit.map(({ kind }) => kind),
    ['identity.passkey-registered', 'identity.passkey-used', 'identity.passkey-removed'],
  )
})

await t.test('an old sign-in, as a thief of a cookie has it, adds and removes no passkey', async (t) => {
  const { w, alice, key } = await inhabited(t)
  const options = challengeOf(await w.room.passkeys.beginRegistration(alice))
  await register(w, alice, new Authenticator(PUBLIC))
  w.later(6 * 60_000)
  t.equal(await refusalOf(w.room.passkeys.beginRegistration(alice)), 'MFA_MISSING')
  t.equal(await refusalOf(w.room.passkeys.finishRegistration(alice, 'x', key.create(options))), 'MFA_MISSING')
  t.equal(await refusalOf(w.room.passkeys.forget(alice, key.id)), 'MFA_MISSING')
})

await t.test('a registration that does not hold is refused', async (t) => {
  const { w, alice, bob, key } = await inhabited(t)
  const lies: readonly (readonly [string, Lie])[] = [
    ['made for another site', { origin: 'https://gateway.test.evil.example' }],
    ['made under another name', { rpId: 'evil.example' }],
    ['made without the person', { isVerified: false }],
    ['made for another question', { challenge: 'AAAA' }],
    ['not a registration', { type: 'webauthn.get' }],
  ]
  for (const [what, lie] of lies) t.equal(await refusalOf(register(w, alice, key, lie)), 'NOT_ALLOWED', what)
  const bobs = challengeOf(await w.room.passkeys.beginRegistration(bob))
  const stolen = w.room.passkeys.finishRegistration(alice, 'x', key.create(bobs))
  t.equal(await refusalOf(stolen), 'NOT_ALLOWED', "another person's question")
  t.same(await w.room.passkeys.list(alice), [])
  await register(w, alice, key)
  t.equal(await refusalOf(register(w, bob, key)), 'CONFLICT', 'one key is one person')
})

await t.test('a touch that does not hold is refused', async (t) => {
  const { w, alice, bob, key } = await inhabited(t)
  await register(w, alice, key)
  await register(w, bob, new Authenticator(PUBLIC))
  const lies: readonly (readonly [string, Lie])[] = [
    ['for another site', { origin: 'https://evil.example' }],
    ['under another name', { rpId: 'evil.example' }],
    ['without the person', { isVerified: false }],
    ['an old question', { challenge: 'AAAA' }],
    ['not a touch', { type: 'webauthn.create' }],
    ['another key', { id: new Authenticator(PUBLIC).id }],
  ]
  for (const [what, lie] of lies) t.equal(await refusalOf(confirm(w, alice, key, lie)), 'NOT_ALLOWED', what)
  t.equal(await refusalOf(confirm(w, bob, key)), 'NOT_ALLOWED', "another person's key")
  const options = challengeOf(await w.room.passkeys.begin(alice, 'target prod-db'))
  const answer = key.get(options)
  t.equal(
    await refusalOf(w.room.passkeys.confirm(alice, 'prod-web', answer)),
    'NOT_ALLOWED',
    'asked about another target',
  )
  const again = challengeOf(await w.room.passkeys.begin(alice, 'target prod-db'))
  const used = key.get(again)
  await w.room.passkeys.confirm(alice, 'prod-db', used)
  t.equal(await refusalOf(w.room.passkeys.confirm(alice, 'prod-db', used)), 'NOT_ALLOWED', 'an answer is good once')
  t.equal(await refusalOf(confirm(w, alice, key, { counter: 1 })), 'NOT_ALLOWED', 'a copy of a key counts behind it')
  const late = challengeOf(await w.room.passkeys.begin(alice, 'target prod-db'))
  w.later(4 * 60_000)
  t.equal(await refusalOf(w.room.passkeys.confirm(alice, 'prod-db', key.get(late))), 'NOT_ALLOWED', 'too late')
})

await t.test('a confirmation opens one session, of one person, on one target, within a minute', async (t) => {
  const { w, alice, bob, key } = await inhabited(t)
  await register(w, alice, key)
  const [, other] = w.rooms
  const proof = await other?.passkeys.redeem(alice, 'prod-db', await confirm(w, alice, key))
  t.ok(proof?.spend({ subject: alice.subject, target: 'prod-db', grant: GRANT }, now()), 'in any worker')
  t.notOk(proof?.spend({ subject: alice.subject, target: 'prod-db', grant: GRANT }, now()), 'once')
  const forBob = await confirm(w, alice, key)
  t.equal(await w.room.passkeys.redeem(bob, 'prod-db', forBob), undefined)
  t.equal(await w.room.passkeys.redeem(alice, 'prod-db', forBob), undefined, 'used up by the one who may not')
  t.equal(await w.room.passkeys.redeem(alice, 'prod-web', await confirm(w, alice, key)), undefined)
  const elsewhere = await w.room.passkeys.redeem(alice, 'prod-db', await confirm(w, alice, key))
  t.notOk(elsewhere?.spend({ subject: alice.subject, target: 'prod-web', grant: GRANT }, now()))
  const late = await confirm(w, alice, key)
  w.later(61_000)
  t.equal(await w.room.passkeys.redeem(alice, 'prod-db', late), undefined)
  t.equal(await w.room.passkeys.redeem(alice, 'prod-db', 'nonsense'), undefined)
})

await t.test('a terminal that waits for a passkey goes on with code and touch, and with nothing less', async (t) => {
  const { w, alice, bob, key } = await inhabited(t)
  await register(w, alice, key)
  const here = { identity: alice, address: HERE }
  const waiting = await w.room.askPasskey(alice, question)
  t.match(await w.room.question(waiting.id, here), { passkey: true, signInAgain: false, target: 'prod-db' })
  t.equal(await refusalOf(w.room.answer(waiting.id, waiting.code, here)), 'PASSKEY_MISSING', 'the code alone')
  const options = async () => challengeOf(await w.room.passkey(waiting.id, here))
  const wrong = await w.room.answer(waiting.id, 'AAAA-AAAA', here, key.get(await options()))
  t.match(wrong, { right: false }, 'the touch alone')
  const browsers = challengeOf(await w.room.passkeys.begin(alice, 'target prod-db'))
  const other = w.room.answer(waiting.id, waiting.code, here, key.get(browsers))
  t.equal(await refusalOf(other), 'NOT_ALLOWED', 'a touch for something else')
  t.equal(await refusalOf(w.room.passkey(waiting.id, { identity: bob, address: HERE })), 'NOT_FOUND')
  const far = { identity: alice, address: '198.51.100.7' }
  t.equal(await refusalOf(w.room.passkey(waiting.id, far)), 'NOT_ALLOWED', 'from another address')
  const proof = waiting.wait(never)
  t.same(await w.room.answer(waiting.id, waiting.code, here, key.get(await options())), { right: true })
  t.ok((await proof).spend({ subject: alice.subject, target: 'prod-db', grant: GRANT }, Date.now() as Moment))
  t.equal(await w.room.bound('alice' as Username, 'SHA256:alices-laptop'), undefined, 'it binds no key')
})

await t.test('each connection asks for its own touch', async (t) => {
  const { w, alice, key } = await inhabited(t)
  await register(w, alice, key)
  const here = { identity: alice, address: HERE }
  const first = await w.room.askPasskey(alice, question)
  const second = await w.room.askPasskey(alice, question)
  const touched = key.get(challengeOf(await w.room.passkey(first.id, here)))
  t.same(await w.room.answer(first.id, first.code, here, touched), { right: true })
  t.match(await w.room.question(second.id, here), { passkey: true }, 'the second one still waits')
})

await t.test('an old sign-in in the browser is fresh enough with a touch', async (t) => {
  const { w, alice, key } = await inhabited(t)
  await register(w, alice, key)
  w.later(60 * 60_000)
  const here = { identity: alice, address: HERE }
  const waiting = await w.room.askPasskey(alice, question)
  const touched = key.get(challengeOf(await w.room.passkey(waiting.id, here)))
  t.same(await w.room.answer(waiting.id, waiting.code, here, touched), { right: true })
})

await t.test('a locked person confirms nothing', async (t) => {
  const { w, alice, key } = await inhabited(t)
  await register(w, alice, key)
  const options = challengeOf(await w.room.passkeys.begin(alice, 'target prod-db'))
  w.locked.set(alice.subject, 'Locked.')
  t.equal(await refusalOf(w.room.passkeys.confirm(alice, 'prod-db', key.get(options))), 'LOCKED')
  t.equal(await refusalOf(w.room.passkeys.begin(alice, 'target prod-db')), 'LOCKED')
  t.equal(await refusalOf(w.room.passkeys.beginRegistration(alice)), 'LOCKED')
})
