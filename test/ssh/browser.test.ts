import { randomBytes } from 'node:crypto'
import t from 'tap'
import { BrowserLeg, WINDOW } from '../../gateway/ssh/browser/browser-leg.ts'
import { KeptOutput } from '../../gateway/ssh/browser/kept-output.ts'
import { createBrowserShells } from '../../gateway/ssh/browser/browser-shells.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import type { SshParts } from '../../gateway/ssh/ssh.ts'
import type { PageGuest, PageWire, ToPage } from '../../gateway/session/session.ts'
import { people } from '../fixtures/ssh-front.ts'

await t.test('what is kept is the end of what was written, at any size of the pieces', async (t) => {
  for (const size of [1, 7, 64, 100]) {
    const kept = new KeptOutput(64)
    const all: Buffer[] = []
    for (let i = 0; i < 50; i++) {
      const bytes = randomBytes((i * 13) % (size + 1))
      kept.write(bytes)
      all.push(bytes)
      const whole = Buffer.concat(all)
      t.equal(kept.end, whole.length)
      t.strictSame(kept.since(0), whole.subarray(Math.max(0, whole.length - 64)))
      const from = Math.max(kept.start, whole.length - 5)
      if (!kept.since(from).equals(whole.subarray(from))) t.fail(`from ${from}`)
    }
  }
})

const leg = () => {
  const parts = { credited: 0, closed: 0 }
  const made = new BrowserLeg({
    credited: (length) => {
      parts.credited += length
    },
    closed: () => {
      parts.closed += 1
    },
  })
  return { made, parts }
}

await t.test('a target waits for what was not drawn, and goes on when it was', async (t) => {
  const { made } = leg()
  const sent: number[] = []
  made.send(Buffer.alloc(WINDOW - 10), 0, () => sent.push(1))
  made.send(Buffer.alloc(20, 'x'), 0, () => sent.push(2))
  made.send(Buffer.from('end'), 1, () => sent.push(3))
  t.strictSame(sent, [1])
  made.noteDrawn(WINDOW + 1)
  t.strictSame(sent, [1], 'more than was sent cannot be drawn')
  made.noteDrawn(100)
  t.strictSame(sent, [1, 2, 3])
  made.noteDrawn(50)
  t.equal(made.drawn, 100, 'nothing is undrawn')
})

await t.test('who comes back gets what is missing, whoever has nothing gets what is kept', async (t) => {
  const { made } = leg()
  const got: Buffer[] = []
  made.follow((bytes) => got.push(bytes))
  made.send(Buffer.from('hello '), 0)
  made.follow(undefined)
  made.send(Buffer.from('world'), 0)
  t.equal(Buffer.concat(got).toString(), 'hello ')
  t.strictSame(made.missed(6), { at: 6, bytes: Buffer.from('world') })
  t.strictSame(made.missed(undefined), { at: 0, bytes: Buffer.from('hello world') })
  t.strictSame(made.missed(4000), { at: 0, bytes: Buffer.from('hello world') }, 'a position that never was')
})

await t.test('it closes after what was sent, once, and then says nothing more', async (t) => {
  const { made, parts } = leg()
  made.send(Buffer.alloc(WINDOW), 0)
  made.send(Buffer.from('late'), 0)
  made.close()
  t.ok(made.isOpen, 'what waits is still to come')
  made.noteDrawn(1000)
  t.notOk(made.isOpen)
  made.closeNow()
  await Promise.resolve()
  t.equal(parts.closed, 1)
  made.credit(3)
  t.equal(parts.credited, 3)
})

const codes = (all: readonly ToPage[][]) => all.map(([first]) => (first?.kind === 'refused' ? first.code : 'opening'))

/** Shells whose grant is looked for until the test says what came of it. */
function slowShells() {
  const looking: ((failure: Refusal) => void)[] = []
  const ssh = {
    people: { desk: { onChange: () => () => undefined } },
    road: {
      admit: {
        grants: { live: () => new Promise((_, reject) => looking.push(reject)) },
        target: () => undefined,
        role: () => undefined,
        clock: wallClock,
      },
    },
    notes: { clock: wallClock, log: () => undefined, audit: () => undefined },
  } as unknown as SshParts
  const shells = createBrowserShells({ ssh, worker: 1, elsewhere: () => undefined })
  const { alice: identity } = people()
  const guest: PageGuest = { identity, seat: 's', address: '127.0.0.1', browser: '', still: async () => identity }
  const open = () => {
    const told: ToPage[] = []
    const wire: PageWire = {
      send: (message) => told.push(message),
      close: () => undefined,
      onMessage: () => undefined,
      onClose: () => undefined,
    }
    shells.open(wire, guest, { target: 'prod-db', under: undefined, passkey: undefined, columns: 80, rows: 24 })
    return told
  }
  return { shells, open, looking }
}

await t.test('shells that are asked for all at once count before the first has opened', async (t) => {
  const { looking, open, shells } = slowShells()
  const all = Array.from({ length: 30 }, open)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(codes(all).filter((code) => code === 'opening').length, 24)
  t.equal(codes(all).filter((code) => code === 'TOO_MANY').length, 6)
  for (const refuse of looking.splice(0)) refuse(new Refusal('NO_GRANT', 'No.'))
  await new Promise((resolve) => setImmediate(resolve))
  const again = open()
  await new Promise((resolve) => setImmediate(resolve))
  t.same(codes([again]), ['opening'], 'what did not open leaves its place')
  for (const refuse of looking) refuse(new Refusal('NO_GRANT', 'No.'))
  await shells.close(0)
})
