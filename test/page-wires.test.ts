/** What two workers say to each other about a page that came back at the wrong door. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { carry, wireOver } from '../gateway/page-wires.ts'
import type { FromPage, PageWire, ToPage } from '../gateway/session/session.ts'
import { until } from './fixtures/until.ts'

/** A wire whose other end is the test. */
class TestWire implements PageWire {
  readonly sent: ToPage[] = []
  closed = false
  #hear: (message: FromPage) => void = () => undefined
  #gone: () => void = () => undefined
  send(message: ToPage): void {
    this.sent.push(message)
  }
  close(): void {
    this.closed = true
  }
  onMessage(listener: (message: FromPage) => void): void {
    this.#hear = listener
  }
  onClose(listener: () => void): void {
    this.#gone = listener
  }
  say(message: FromPage): void {
    this.#hear(message)
  }
  leave(): void {
    this.#gone()
  }
}

const server = createServer()
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
t.teardown(() => server.close())

/** Both ends of a connection. */
async function pair(): Promise<readonly [Socket, Socket]> {
  const here = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [there] = (await once(server, 'connection')) as [Socket]
  for (const end of [here, there]) {
    end.on('error', () => undefined)
    t.teardown(() => end.destroy())
  }
  return [here, there]
}

await t.test('a page at the wrong door speaks with its shell as if it had found the right one', async (t) => {
  const [here, there] = await pair()
  const page = new TestWire()
  carry(page, here)
  const shell = wireOver(there)
  const heard: FromPage[] = []
  let left = false
  shell.onMessage((message) => heard.push(message))
  shell.onClose(() => {
    left = true
  })
  const bytes = randomBytes(300_000)
  shell.send({ kind: 'output', bytes })
  shell.send({ kind: 'taken', bytes: 7 })
  page.say({ kind: 'input', bytes: Buffer.from('ls\r') })
  page.say({ kind: 'resize', columns: 80, rows: 24 })
  await until(() => page.sent.length === 2 && heard.length === 2)
  t.strictSame(page.sent, [
    { kind: 'output', bytes },
    { kind: 'taken', bytes: 7 },
  ])
  t.strictSame(heard, [
    { kind: 'input', bytes: Buffer.from('ls\r') },
    { kind: 'resize', columns: 80, rows: 24 },
  ])
  page.leave()
  await until(() => left)
  t.ok(left, 'the shell learns that its page has left')
})

await t.test('messages may arrive in any pieces; what is too long ends the line', async (t) => {
  const source = new PassThrough()
  const sender = wireOver(source)
  sender.send({ kind: 'output', bytes: Buffer.from('héllo') })
  sender.send({ kind: 'notice', text: '5 minutes left', expiresAt: undefined })
  const all = source.read() as Buffer
  for (let cut = 1; cut < all.length; cut++) {
    const [here, there] = await pair()
    const page = new TestWire()
    carry(page, here)
    there.write(all.subarray(0, cut))
    there.write(all.subarray(cut))
    await until(() => page.sent.length === 2)
    t.strictSame(page.sent[0], { kind: 'output', bytes: Buffer.from('héllo') })
    t.equal(page.sent[1]?.kind, 'notice')
    there.destroy()
    if (cut > 12) cut += 6
  }
  const [here, there] = await pair()
  const page = new TestWire()
  carry(page, here)
  there.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0]))
  await until(() => here.destroyed)
  t.ok(here.destroyed)
})

await t.test('a worker that is not there is a shell that is gone', async (t) => {
  const [here, there] = await pair()
  const page = new TestWire()
  carry(page, here)
  there.destroy()
  here.destroy()
  await until(() => page.closed)
  t.match(page.sent, [{ kind: 'refused', code: 'NOT_FOUND', text: 'This shell is gone.' }])
  t.ok(page.closed)
})
