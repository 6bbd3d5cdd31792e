import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type Errand, openInnerDoor } from '../gateway/inner-door.ts'
import { silent } from '../gateway/model/log.ts'

const dir = mkdtempSync(join(tmpdir(), 'sallyport-inner-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true }))

await t.test('an errand reaches the worker it is for, and nobody else', async (t) => {
  const got: [number, Errand][] = []
  const arrival = Promise.withResolvers<void>()
  const doors = await Promise.all(
    [1, 2].map((worker) =>
      openInnerDoor({
        dir,
        worker,
        log: silent,
        onReturn: () => undefined,
        onErrand: (errand) => {
          got.push([worker, errand])
          arrival.resolve()
        },
      }),
    ),
  )
  t.teardown(() => Promise.all(doors.map((door) => door.close())))
  const key = Buffer.from([0, 1, 2, 255])
  doors[0]?.send(2, { kind: 'cancel', processId: 0x02000007, key })
  await arrival.promise
  t.strictSame(got, [[2, { kind: 'cancel', processId: 0x02000007, key }]])
  doors[0]?.send(9, { kind: 'cancel', processId: 1, key }) // nobody there: nothing happens
  t.equal(statSync(join(dir, 'worker-1.sock')).mode & 0o77, 0, 'only its owner can open it')

  for (const rubbish of ['', '{', '{"kind":"cancel"}', '[]', 'x'.repeat(5000)])
    await new Promise<void>((resolve) =>
      connect(join(dir, 'worker-1.sock'))
        .on('error', () => undefined)
        .on('close', () => resolve())
        .end(rubbish),
    )
  t.equal(got.length, 1, 'rubbish is nobody’s errand')
})

await t.test('a worker that was killed leaves no socket in the way of the next one', async (t) => {
  const parts = { dir, worker: 5, log: silent, onErrand: () => undefined, onReturn: () => undefined }
  const first = await openInnerDoor(parts)
  t.teardown(() => first.close())
  const next = await openInnerDoor(parts)
  await next.close()
  t.pass('it listens')
})
