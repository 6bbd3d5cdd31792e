/** The state store as several processes use it: one SQLite file, real transactions, real kills. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rename, stat, writeFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { Fault, Refusal } from '../../gateway/model/refusal.ts'
import { openState, type State } from '../../gateway/state/state.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { handClock, stateFile } from '../fixtures/state.ts'

const bump = (state: State) => state.run("update counters set value = value + 1 where name = 'grant'")
const value = async (state: State): Promise<number | undefined> =>
  (await state.all<{ value: number }>("select value from counters where name = 'grant'"))[0]?.value
const changed = (state: State): Promise<void> =>
  new Promise((resolve) => {
    const stop = state.onChange(() => {
      stop()
      resolve()
    })
  })

t.test('the file is for its owner only, and so is what lies beside it', async (t) => {
  const file = await stateFile(t)
  const state = await file.open()
  await bump(state)
  for (const path of [file.path, `${file.path}-wal`, `${file.path}-shm`])
    t.equal((await stat(path)).mode & 0o777, 0o600, path)
})

t.test('tables are made once, by whoever comes first; a worker only looks', async (t) => {
  const file = await stateFile(t)
  await t.rejects(file.open({ migrate: false }), Fault)
  const both = await Promise.all([file.open(), file.open()])
  await bump(both[0])
  await file.open()
  const worker = await file.open({ migrate: false })
  t.equal(await value(worker), 1, 'a second start does not begin anew')
  await worker.run("insert into migrations (name, applied_at) values ('9999-later.sql', 1)")
  await t.rejects(file.open({ migrate: false }), { message: /another version/ })
  await t.rejects(file.open(), { message: /9999-later/ })
  await worker.run('delete from migrations')
  await t.rejects(file.open({ migrate: false }), { message: /lacks 0001-grants.sql/ })
})

t.test('what is not a store is refused with a sentence', async (t) => {
  const file = await stateFile(t)
  await t.rejects(openState({ url: 'mysql://x', clock: wallClock, log: silent }), Fault)
  await t.rejects(openState({ url: 'sqlite:/nowhere/at/all.db', clock: wallClock, log: silent }), Fault)
  await writeFile(file.path, 'these are not the bytes of a database'.repeat(100))
  await t.rejects(file.open(), Fault)
})

t.test('a transaction is all or nothing', async (t) => {
  const file = await stateFile(t)
  const state = await file.open()
  await t.rejects(
    state.tx(async (tx) => {
      await tx.run("update counters set value = 7 where name = 'grant'")
      throw new Error('no')
    }),
    { message: 'no' },
  )
  t.equal(await value(state), 0)
  const [row] = await state.tx((tx) =>
    tx.all<{ value: number }>('update counters set value = value + $1 where name = $2 returning value', [5, 'grant']),
  )
  t.equal(row?.value, 5)
})

t.test('nothing slips into the transaction of somebody else', async (t) => {
  const file = await stateFile(t)
  const state = await file.open()
  const { promise: reached, resolve: inside } = Promise.withResolvers<void>()
  const failing = state.tx(async (tx) => {
    await tx.run("update counters set value = 100 where name = 'grant'")
    inside()
    await pause(50)
    throw new Error('undone')
  })
  await reached
  const beside = bump(state)
  t.equal(await value(state), 0, 'a read beside it sees what is committed')
  await t.rejects(failing, { message: 'undone' })
  await beside
  t.equal(await value(state), 1)
})

t.test('waiting for oneself is a fault, not a standstill', async (t) => {
  const state = await (await stateFile(t)).open()
  await t.rejects(
    state.tx(async () => bump(state)),
    Fault,
  )
  await t.rejects(
    state.tx(async () => state.tx(async () => 1)),
    Fault,
  )
  let kept: Promise<unknown> = Promise.resolve()
  await state.tx(async (tx) => {
    await tx.all('select 1')
    kept = pause(20).then(() => tx.run("update counters set value = 9 where name = 'grant'"))
  })
  await t.rejects(kept, Fault, 'a transaction that is over takes nothing')
  t.equal(await value(state), 0)
})

t.test('many writers on one file wait for each other and lose nothing', async (t) => {
  const file = await stateFile(t)
  const states = [await file.open(), await file.open(), await file.open()]
  await Promise.all(
    states.flatMap((state) =>
      Array.from({ length: 30 }, () =>
        state.tx(async (tx) => {
          const [row] = await tx.all<{ value: number }>("select value from counters where name = 'grant'")
          await tx.run("update counters set value = $1 where name = 'grant'", [(row?.value ?? 0) + 1])
        }),
      ),
    ),
  )
  for (const state of states) t.equal(await value(state), 90)
})

t.test('a neighbour who holds the lock does not make our event loop stand still', async (t) => {
  const file = await stateFile(t)
  const [a, b] = [await file.open(), await file.open()]
  let ticks = 0
  const ticking = setInterval(() => {
    ticks += 1
  }, 5)
  t.teardown(() => clearInterval(ticking))
  const holding = a.tx(async (tx) => {
    await tx.run("update counters set value = value + 1 where name = 'grant'")
    await pause(400)
  })
  await bump(b)
  await holding
  t.ok(ticks > 10, `${ticks} ticks while we waited`)
  t.equal(await value(b), 2)
})

t.test('changes are heard: our own at once, those of another process soon, reading never', async (t) => {
  const file = await stateFile(t)
  const [a, b] = [await file.open(), await file.open()]
  let heard = 0
  a.onChange(() => {
    heard += 1
  })
  await a.all('select 1')
  await a.run("update counters set value = 1 where name = 'nobody'")
  await a.tx(async (tx) => tx.all('select 1'))
  t.equal(heard, 0)
  await bump(a)
  t.equal(heard, 1)
  await a.all("update counters set value = value + 1 where name = 'grant' returning value")
  t.equal(heard, 2, 'also a statement that answers')
  const other = changed(a)
  await bump(b)
  await other
  a.onChange(() => {
    throw new Error('a listener that fails')
  })
  const again = changed(a)
  await bump(a)
  await again
})

t.test('a store that was moved away has no health', async (t) => {
  const file = await stateFile(t)
  const clock = handClock()
  const state = await file.open({ clock })
  clock.move(60_000)
  await pause(250)
  t.equal(state.health(), clock.now(), 'it answers by itself')
  await rename(file.path, `${file.path}.away`)
  await pause(150)
  const before = state.health()
  clock.move(60_000)
  await pause(250)
  t.equal(state.health(), before)
})

t.test('errors say which kind they are', async (t) => {
  const file = await stateFile(t)
  const state = await file.open()
  await t.rejects(state.all('selec'), Fault)
  await t.rejects(state.run("insert into counters (name, value) values ('grant', 1)"), Fault)
  const reader = await file.open()
  await reader.close()
  await t.rejects(reader.all('select 1'), Fault)
  await t.rejects(bump(reader), Fault)
})

t.test('what was committed survives kill -9, what was not never was', async (t) => {
  const file = await stateFile(t)
  const state = await file.open()
  const child = spawn(
    process.execPath,
    [
      '--input-type=module-typescript',
      '-e',
      `import { openState } from ${JSON.stringify(new URL('../../gateway/state/state.ts', import.meta.url).href)}
       const state = await openState({ url: ${JSON.stringify(file.url)}, clock: { now: () => Date.now() }, log: () => {} })
       for (let n = 1; ; n += 1) {
         await state.tx(async (tx) => {
           await tx.run('update counters set value = $1 where name = $2', [n, 'grant'])
           await tx.run('update counters set value = $1 where name = $2', [n, 'grants-changed'])
         })
         console.log(n)
       }`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  while (said.split('\n').length < 20) await pause(20)
  child.kill('SIGKILL')
  await once(child, 'close')
  const acknowledged = Number(said.trimEnd().split('\n').at(-1))
  const rows = await state.all<{ value: number }>(
    "select value from counters where name in ('grant', 'grants-changed')",
  )
  t.ok((rows[0]?.value ?? 0) >= acknowledged)
  t.equal(rows[0]?.value, rows[1]?.value, 'both or none')
  t.type(await bump(state), 'number', 'nobody is locked out by the dead')
  t.notOk((await state.all('select 1').catch((error) => error)) instanceof Refusal)
})
