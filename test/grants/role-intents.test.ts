import t from 'tap'
import { RoleIntents } from '../../gateway/grants/grants.ts'
import type { GrantId } from '../../gateway/model/grant.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { stateFile } from '../fixtures/state.ts'

await t.test('a role that is about to be made is remembered until it is gone, by every process', async (t) => {
  const file = await stateFile(t)
  const [one, two] = [new RoleIntents(await file.open()), new RoleIntents(await file.open())]
  const intent = {
    target: 'prod-db',
    role: 'sp_demo_17',
    grant: '17' as GrantId,
    holder: 'host:1:2',
    createdAt: 5 as Moment,
    expiresAt: 9 as Moment,
  }
  await one.put(intent)
  await one.put({ ...intent, holder: 'host:3:4' })
  t.strictSame(await two.list('prod-db'), [{ ...intent, holder: 'host:3:4' }])
  t.strictSame(await two.list('prod-web'), [])
  t.equal(await two.isLive(intent, 6 as Moment), false, 'there is no such grant')
  await two.remove('prod-db', 'sp_demo_17')
  t.strictSame(await one.list('prod-db'), [])
})
