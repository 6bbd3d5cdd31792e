/** Many hands at once: what no order of steps may ever lead to. */
import t from 'tap'
import type { Grants } from '../../gateway/grants/grants.ts'
import { endSignIns } from '../../gateway/identity/identity.ts'
import { createGrants } from '../../gateway/grants/grants.ts'
import type { Grant, LiveGrant } from '../../gateway/model/grant.ts'
import type { HeldStatement } from '../../gateway/model/hold.ts'
import type { Identity } from '../../gateway/model/identity.ts'
import { silent } from '../../gateway/model/log.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import type { Tenure } from '../../gateway/session/session.ts'
import type { State } from '../../gateway/state/state.ts'
import { type Desk, grantId, house, liveGrant, people, person, policy, session } from '../fixtures/grants.ts'
import { handClock, stateFile } from '../fixtures/state.ts'

const { alice, erin, bob, frank, anna } = people
const dora = person('dora', 'leads')
const why = 'INC-42: disk is full'
const ask = (grants: Grants, role: string, who: Identity = alice, minutes = 30) =>
  grants.request(who, { target: 'prod-db', role, minutes, reason: why })
const outcomes = async (deeds: readonly Promise<unknown>[]): Promise<readonly string[]> =>
  (await Promise.allSettled(deeds)).map((result) => {
    if (result.status === 'fulfilled') return 'done'
    if (result.reason instanceof Refusal) return result.reason.code
    throw result.reason
  })

t.test('of two approvers at once one makes it live, and the other hears that it is', async (t) => {
  const { desk } = await house(t)
  const [here, there] = [await desk(), await desk()]
  for (let round = 0; round < 10; round += 1) {
    const { id } = await ask(here.grants, 'operator')
    const both = await outcomes([here.grants.approve(bob, id, {}), there.grants.approve(frank, id, {})])
    t.strictSame(both.toSorted(), ['CONFLICT', 'done'])
    const now = await here.grants.grant(alice, id)
    t.equal(now.approvals.length, 1)
    await here.grants.release(alice, id)
  }
})

t.test('of two approvers at once both count where two are needed', async (t) => {
  const { desk } = await house(t)
  const [here, there] = [await desk(), await desk()]
  const { id } = await ask(here.grants, 'owner')
  t.strictSame(await outcomes([here.grants.approve(bob, id, {}), there.grants.approve(frank, id, {})]), [
    'done',
    'done',
  ])
  const now = await here.grants.grant(alice, id)
  t.equal(now.state, 'live')
  t.strictSame(now.approvals.map(({ by }) => by).toSorted(), ['bob', 'frank'])
  const next = await ask(here.grants, 'owner')
  const twice = await outcomes([here.grants.approve(bob, next.id, {}), there.grants.approve(bob, next.id, {})])
  t.strictSame(twice.toSorted(), ['CONFLICT', 'done'], 'one person at two doors is one person')
  t.equal((await here.grants.grant(alice, next.id)).state, 'requested')
})

t.test('a yes of somebody who was locked out since does not count', async (t) => {
  const { desk } = await house(t)
  const { grants } = await desk()
  const { id } = await ask(grants, 'owner')
  await grants.approve(bob, id, {})
  await grants.lock(anna, 'bob', 'his laptop is gone')
  t.equal((await grants.approve(frank, id, {})).state, 'requested', 'one of two is left')
  const last = await grants.approve(dora, id, {})
  t.equal(last.state, 'live')
  t.strictSame(
    last.approvals.map(({ by }) => by),
    ['frank', 'dora'],
  )

  const live = await liveGrant(grants, 30, frank)
  const start = session(live)
  await grants.enter(start)
  const held = {
    kind: 'sql',
    verb: 'UPDATE',
    text: 'update x set a = 1',
    digest: 'd',
    under: live.id,
    session: start.id,
  }
  const parked = await grants.park(live as LiveGrant, held as HeldStatement)
  await grants.approve(frank, parked.id, {})
  await grants.lock(anna, 'frank', '')
  t.strictSame(await outcomes([grants.use(parked.id, 'd')]), ['NOT_ALLOWED'], 'between the yes and the deed')
})

t.test('programs of one machine that ask at two doors at once share a grant', async (t) => {
  const { desk } = await house(t)
  const [here, there] = [await desk(), await desk()]
  const wish = { target: 'prod-db', role: 'logs', reason: why, endpoints: ['postgres'], orLive: true } as const
  const all = await Promise.all([here, there, here, there].map(({ grants }) => grants.request(alice, wish)))
  t.equal(new Set(all.map(({ id }) => id)).size, 1)
  const wider = await here.grants.request(alice, { ...wish, endpoints: ['ssh', 'postgres'] })
  t.not(wider.id, all[0]?.id, 'what opens less is not as good')
})

t.test('the same request from two doors at once waits once', async (t) => {
  const { desk } = await house(t)
  const [here, there] = [await desk(), await desk()]
  const both = await outcomes([
    ask(here.grants, 'operator'),
    ask(there.grants, 'operator'),
    ask(here.grants, 'operator'),
  ])
  t.strictSame(both.toSorted(), ['TOO_MANY', 'TOO_MANY', 'done'])
  t.equal((await here.grants.requests(alice)).length, 1)
})

/** A store whose transactions do not keep others out, as PostgreSQL's at READ COMMITTED: only compare-and-set holds the order then. */
const porous = (state: State): State => ({
  ...state,
  tx: async (work) => {
    const result = await work({
      all: async (sql, params) => {
        const rows = await state.all(sql, params)
        await new Promise((resolve) => {
          setTimeout(resolve, Math.random() * 5)
        })
        return rows as never
      },
      run: (sql, params) => state.run(sql, params),
    })
    return result
  },
})

t.test('compare-and-set alone keeps steps apart', async (t) => {
  const file = await stateFile(t)
  const state = await file.open()
  const grants = createGrants({
    state: porous(state),
    clock: handClock(),
    log: silent,
    audit: () => undefined,
    policy: () => policy,
    endSignIns,
  })
  t.teardown(() => grants.close())
  for (let round = 0; round < 12; round += 1) {
    const { id } = await ask(grants, 'owner')
    const approvals = [grants.approve(bob, id, {}), grants.approve(frank, id, {}), grants.approve(dora, id, {})]
    const deeds = [...approvals, ...(round % 2 === 0 ? [] : [grants.withdraw(alice, id), grants.deny(anna, id, 'no')])]
    const answers = await outcomes(deeds)
    const now = await grants.grant(alice, id)
    const [row] = await state.all<{ version: number }>('select version from grants where id = $1', [id])
    const steps = answers.filter((answer) => answer === 'done').length
    t.equal(row?.version, steps + 1, 'each step that was said to be done was done, one after the other')
    const said = answers.slice(0, 3).filter((answer) => answer === 'done').length
    t.equal(now.approvals.length, said, 'no approval is lost, none counts twice')
    t.ok(now.state !== 'live' || now.approvals.length === 2)
    await Promise.allSettled([grants.withdraw(alice, id), grants.release(alice, id)])
  }
})

t.test('a grant that is revoked while somebody asks for it does not slip through', async (t) => {
  const file = await stateFile(t)
  const clock = handClock()
  const [state, other] = [await file.open({ clock }), await file.open({ clock })]
  const rest = { clock, log: silent, audit: () => undefined, policy: () => policy, endSignIns }
  const there = createGrants({ state: other, ...rest })
  const { promise: read, resolve: wasRead } = Promise.withResolvers<void>()
  let slow = false
  // Answers arrive late, as from a database at the other end of a network.
  const late: State = {
    ...state,
    all: async (sql, params) => {
      const rows = await state.all(sql, params)
      if (slow && sql.includes('from grants')) {
        slow = false
        wasRead()
        await new Promise((resolve) => {
          setTimeout(resolve, 300)
        })
      }
      return rows as never
    },
  }
  const here = createGrants({ state: late, ...rest })
  t.teardown(async () => {
    await here.close()
    await there.close()
  })
  const { id } = await ask(there, 'logs')
  slow = true
  const asking = here.live(alice.subject, 'prod-db', 'ssh')
  await read
  await there.revoke(anna, { grant: id }, '')
  t.equal(await asking, undefined)
})

/** Mulberry32: a failing seed can be run again. */
function dice(seed: number): (sides: number) => number {
  let a = seed
  return (sides) => {
    a = (a + 0x6d2b79f5) | 0
    let x = Math.imul(a ^ (a >>> 15), 1 | a)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % sides
  }
}

t.test('whatever happens in whatever order: nothing is live after its end, and what has ended stays so', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  const roll = dice(seed)
  const { desk, clock } = await house(t)
  const limits = { waiting: 6, held: 4, lapseAfterMs: 3 * 3_600_000 }
  const desks: readonly Desk[] = [await desk({ limits }), await desk({ limits })]
  const everybody = [alice, erin, bob, frank, dora, anna]
  const anyone = () => everybody[roll(everybody.length)] ?? alice
  let newest = 0
  const anyId = () => grantId(String(1 + roll(Math.max(1, newest))))
  const over = new Map<string, string>()
  const tenures = new Set<Tenure>()

  const step = async ({ grants }: Desk): Promise<unknown> => {
    const [who, id] = [anyone(), anyId()]
    switch (roll(13)) {
      case 0:
      case 1:
      case 2:
        return ask(grants, ['logs', 'operator', 'owner'][roll(3)] ?? 'logs', who, 1 + roll(60))
      case 3:
      case 4:
      case 5:
        return grants.approve(who, id, roll(2) === 0 ? {} : { minutes: 1 + roll(60) })
      case 6:
        return grants.extend(who, id, { minutes: 1 + roll(60) })
      case 7:
        return grants.release(who, id)
      case 8:
        return roll(2) === 0 ? grants.withdraw(who, id) : grants.deny(who, id, 'no')
      case 9:
        return grants.revoke(who, roll(4) === 0 ? { person: anyone().username } : { grant: id }, '')
      case 10:
        return roll(3) === 0 ? grants.lock(anna, alice.username, '') : grants.unlock(anna, alice.username)
      case 11:
        return grants.sweep()
      default: {
        const tenure = await grants.live(who.subject, 'prod-db', 'ssh')
        if (tenure !== undefined) tenures.add(tenure)
        return undefined
      }
    }
  }

  for (let round = 0; round < 250; round += 1) {
    await outcomes(Array.from({ length: 1 + roll(6) }, () => step(desks[roll(2)] ?? (desks[0] as Desk))))
    if (roll(3) === 0) clock.move(roll(40 * 60_000))
    const now = clock.now()
    const rows = await (desks[0] as Desk).grants.grants(anna, { limit: 1000 })
    newest = Math.max(newest, ...rows.map(({ id }) => Number(id)))
    const byId = new Map<string, Grant>(rows.map((grant) => [grant.id, grant]))
    for (const grant of rows) {
      if (grant.state === 'ended') {
        const text = JSON.stringify(grant)
        if (over.has(grant.id) && over.get(grant.id) !== text) t.fail(`grant ${grant.id} changed after its end`)
        over.set(grant.id, text)
      } else if (over.has(grant.id)) t.fail(`grant ${grant.id} came back`)
      if (grant.state === 'live' && grant.expiresAt <= now) t.fail(`grant ${grant.id} is live after its end`)
      if (grant.state === 'live' && grant.expiresAt > now + 60 * 60_000) t.fail(`grant ${grant.id} lives too long`)
      if (grant.state === 'live' && grant.approvals.length < grant.approvalsNeeded) t.fail('live without approval')
      if (grant.approvals.some(({ subject }) => subject === grant.subject)) t.fail('approved by its owner')
      const approvers = new Set(grant.approvals.map(({ subject }) => subject))
      if (approvers.size !== grant.approvals.length) t.fail('one approver twice')
      const parent = grant.extends === undefined ? undefined : byId.get(grant.extends)
      if (parent?.state === 'ended' && grant.state !== 'ended') t.fail('a request outlives its grant')
    }
    for (const { grants } of desks)
      for (const who of everybody) {
        const tenure = await grants.live(who.subject, 'prod-db', 'ssh').catch(() => undefined)
        const row = tenure === undefined ? undefined : byId.get(tenure.grant().id)
        if (tenure !== undefined && (row?.state !== 'live' || tenure.grant().expiresAt <= now)) t.fail('live, but not')
      }
  }
  // The slowest way to hear of an end: the poll of the other desk's store, and the tick of its clock.
  await new Promise((resolve) => {
    setTimeout(resolve, 1200)
  })
  const rows = await (desks[0] as Desk).grants.grants(anna, { limit: 1000 })
  const live = new Map(rows.filter(({ state }) => state === 'live').map((grant) => [grant.id, grant]))
  for (const tenure of tenures) t.equal(tenure.ended.aborted, !live.has(tenure.grant().id))
  for (const { id } of live.values()) {
    const inner = [...tenures].find((tenure) => tenure.grant().id === id)?.grant()
    if (inner !== undefined) t.strictSame(inner, live.get(id), 'as the store has it')
  }
  t.comment(`${newest} grants, ${over.size} ended, ${live.size} live`)
  const ends = desks.flatMap(({ events }) => events.filter(({ kind }) => kind === 'grant.ended'))
  const told = [...new Map(ends.map(({ id, grant }) => [id, grant])).values()]
  t.equal(told.length, new Set(told).size, 'each end is told under one id')
  t.strictSame(new Set(told), new Set(over.keys()), 'and each is told')
})
