/** Files between a browser and a target: a session of its own, over the target's SFTP, judged and recorded like anybody's sftp. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { type Fault, Refusal } from '../../model/refusal.ts'
import { admit, type FileAsk, type PageGuest, type Terminals, type Transferred } from '../../session/session.ts'
import { noteRefused } from '../deny.ts'
import type { Outcome } from '../engine/contract.ts'
import { SftpClient } from '../engine/sftp-client.ts'
import type { SshParts } from '../parts.ts'
import { Console } from '../screen/console.ts'
import { atTarget } from '../target-session.ts'
import { clientOf } from './browser-name.ts'

type Wish = {
  readonly guest: PageGuest
  readonly ask: FileAsk
  readonly signal: AbortSignal
  readonly closing: AbortSignal
}

const MOST_PATH = 4096

/** @throws {Refusal} */
export async function upload(
  ssh: SshParts,
  wish: Wish & { readonly ask: { readonly replace: boolean } },
  bytes: Readable,
): Promise<Transferred> {
  const path = pathOf(wish.ask.path)
  const visit = await begin(ssh, wish)
  try {
    const { client } = visit
    if (!wish.ask.replace && (await client.look(path)) !== undefined)
      throw new Refusal('CONFLICT', `${wish.ask.path} is there already.`, { next: 'Say whether to replace it.' })
    const handle = await client.openToWrite(path, wish.ask.replace)
    const writer = client.writer(handle)
    const hash = createHash('sha256')
    let count = 0
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      hash.update(chunk)
      count += chunk.length
      await writer.write(chunk)
    }
    wish.signal.throwIfAborted()
    await writer.done()
    await client.closeFile(handle)
    return { path: wish.ask.path, bytes: count, sha256: hash.digest('hex') }
  } finally {
    await visit.end()
  }
}

/** @throws {Refusal} */
export async function download(ssh: SshParts, wish: Wish): ReturnType<Terminals['download']> {
  const path = pathOf(wish.ask.path)
  const visit = await begin(ssh, wish)
  try {
    const { client } = visit
    const facts = await client.look(path)
    if (facts?.isDirectory === true)
      throw new Refusal('BAD_INPUT', `${wish.ask.path} is a directory.`, { next: 'Name one file.' })
    const handle = await client.openToRead(path)
    const content = async function* () {
      try {
        for (let at = 0; ; ) {
          const bytes = await client.read(handle, at)
          if (bytes === undefined) break
          at += bytes.length
          yield bytes
        }
        await client.closeFile(handle)
      } finally {
        await visit.end()
      }
    }
    // What stands in /proc says that it is empty.
    const size = facts?.size === 0 ? undefined : facts?.size
    return { name: path.split('/').at(-1) ?? 'file', size, bytes: Readable.from(content(), { objectMode: false }) }
  } catch (failure) {
    await visit.end()
    throw failure
  }
}

type Visit = { readonly client: SftpClient; end(): Promise<void> }

/** A session on the target whose client is ourselves. @throws {Refusal} */
async function begin(ssh: SshParts, { ask, closing, guest, signal }: Wish): Promise<Visit> {
  const { identity } = guest
  const gone = new AbortController()
  try {
    signal.throwIfAborted()
    const { passkey, target, under } = ask
    const admission = await admit(ssh.road.admit, { identity, target, under, passkey, protocol: 'ssh' })
    const client = new SftpClient(() => seat.leave())
    const seat = ssh.engine.sit(client, { request: { kind: 'sftp' }, terminal: undefined, environment: {} })
    const { channel } = seat
    const running = atTarget(
      ssh,
      {
        connection: clientOf(guest, gone.signal),
        channel,
        console: new Console(channel),
        request: channel.request,
        withoutTerminal: '',
        closing,
        speaker: { words: ({ kind }) => `[sallyport] ${kind}`, show: async () => undefined },
      },
      admission,
    ).then(
      (outcome) => client.fail(endOf(outcome)),
      (failure: unknown) => client.fail(failure),
    )
    const leave = () => {
      const { reason } = signal
      client.fail(reason instanceof Refusal ? reason : new Refusal('GRANT_ENDED', 'The transfer was stopped.'))
      seat.leave()
    }
    signal.addEventListener('abort', leave, { once: true })
    const end = async () => {
      signal.removeEventListener('abort', leave)
      seat.leave()
      await running
      gone.abort(new Error('The transfer is over.'))
    }
    try {
      await client.start((bytes) => seat.input(bytes))
    } catch (failure) {
      await end()
      throw failure
    }
    return { client, end }
  } catch (failure) {
    gone.abort(new Error('Nothing was opened.'))
    noteRefused(ssh.notes, guest, ask.target, failure)
    throw failure
  }
}

function endOf(outcome: Outcome | undefined): Refusal | Fault {
  const { cause, detail = '' } = outcome ?? {}
  if (cause === 'cut') return new Refusal('GRANT_ENDED', detail)
  return new Refusal('TARGET_UNREACHABLE', detail === '' ? 'The target closed the connection.' : detail)
}

/** For SFTP: absolute, or from the home directory, which is where a login starts. @throws {Refusal} BAD_INPUT */
function pathOf(text: string): string {
  const path = text.startsWith('~/') ? text.slice(2) : text
  if (path === '' || path.endsWith('/') || /\p{Cc}/u.test(path) || Buffer.byteLength(path) > MOST_PATH)
    throw new Refusal('BAD_INPUT', 'That is not the path of a file.', {
      next: 'Write it like /var/log/syslog or ~/notes.',
    })
  return path
}
