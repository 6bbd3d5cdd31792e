/** Access tokens of the provider as a sign-in: who may come in with one, and everything that is not one. */
import type { JWTPayload } from 'jose'
import t from 'tap'
import type { Username } from '../../gateway/model/identity.ts'
import { ACR_MFA } from '../../tools/demo/idp.ts'
import { hostileIdp, providerAt } from '../fixtures/idp.ts'
import { PUBLIC, world } from './world.ts'

const alice = 'alice' as Username
const seconds = () => Math.floor(Date.now() / 1000)

await t.test('a token made out to the gateway, with a second factor, is its person', async (t) => {
  const idp = await hostileIdp(t)
  const { room, audit, locked, state } = await world(t, [providerAt(idp.issuer)])
  const honest: JWTPayload = {
    iss: idp.issuer,
    aud: PUBLIC,
    sub: 'alice',
    preferred_username: 'alice',
    groups: ['engineers'],
    acr: ACR_MFA,
    amr: ['pwd', 'otp', 'mfa'],
    auth_time: seconds() - 60,
    iat: seconds(),
    exp: seconds() + 300,
  }
  const of = (change: JWTPayload, how: Parameters<typeof idp.token>[1] = {}) =>
    idp.token({ ...honest, ...change }, { typ: 'at+jwt', ...how })

  const identity = await room.bearer.identity(alice, await of({}))
  t.match(identity, { subject: `${idp.issuer}|alice`, username: 'alice', groups: ['engineers'], provider: 'demo' })
  t.match(audit.at(-1), { kind: 'identity.signed-in', details: { via: 'bearer' } })

  const groupsOf = async (change: JWTPayload) => (await room.bearer.identity(alice, await of(change)))?.groups
  const made = (ago: number) => ({ iat: seconds() - ago, auth_time: seconds() - ago })
  t.same(await groupsOf({ groups: ['engineers', 'leads'], ...made(3600) }), ['engineers'], 'a later one counts')
  await state.run('update people set seen_at = $1', [(seconds() - 11 * 3600) * 1000])
  t.same(await groupsOf({ groups: ['leads'], ...made(10 * 3600) }), ['leads'], 'this one is the later one')
  const [row] = await state.all<{ seen_at: number }>('select seen_at from people')
  t.ok(Number(row?.seen_at) < Date.now() - 9.9 * 3_600_000, 'a token that is shown again makes no groups younger')

  const lies: readonly (readonly [string, string])[] = [
    ['somebody else’s', await of({ preferred_username: 'bob', sub: 'bob' })],
    ['for another audience', await of({ aud: 'https://elsewhere.test' })],
    ['for the client, not the gateway', await of({ aud: 'sallyport' })],
    ['of another issuer', await of({ iss: 'http://127.0.0.1:1' })],
    ['older than groups may be', await of({ iat: seconds() - 12 * 3600 })],
    ['expired', await of({ exp: seconds() - 300 })],
    ['without an end', await of(Object.fromEntries([['exp', undefined]]))],
    ['an ID token', await of({}, { typ: 'JWT' })],
    ['a logout token', await of({}, { typ: 'logout+jwt' })],
    ['signed by another key', await of({}, { sign: 'foreign' })],
    ['signed by nobody', await of({}, { sign: 'none' })],
    ['signed with the public key as a secret', await of({}, { sign: 'hs256' })],
    ['no token at all', 'x.y.z'],
    ['endless', `${'a'.repeat(20_000)}.b.c`],
  ]
  for (const [name, token] of lies) {
    const before = audit.length
    t.equal(await room.bearer.identity(alice, token), undefined, name)
    t.match(audit.slice(before), [{ kind: 'identity.refused' }], `${name}: noted once`)
    t.notMatch(JSON.stringify(audit.slice(before)), token.slice(0, 40), `${name}: the token is in no log`)
  }

  for (const [name, change] of [
    ['password only', { acr: 'urn:sallyport:acr:password', amr: ['pwd'] }],
    ['no auth_time', { auth_time: undefined }],
    ['an old sign-in', { auth_time: seconds() - 13 * 3600 }],
  ] as const)
    await t.rejects(room.bearer.identity(alice, await of(change as JWTPayload)), { code: 'MFA_MISSING' }, name)

  locked.set(`${idp.issuer}|alice` as never, 'Locked by bob.')
  await t.rejects(room.bearer.identity(alice, await of({})), { code: 'LOCKED' })
})
