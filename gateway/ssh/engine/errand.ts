/** A question of the gateway itself to an agent, about a workspace that is over: one connection, one subsystem, one JSON document. No program runs. */
import type { Duplex } from 'node:stream'
import type { Moment } from '../../model/moment.ts'
import { Refusal } from '../../model/refusal.ts'
import type { Protocol, Target } from '../../model/target.ts'
import type { SigningKey } from './authority.ts'
import type { Channel } from './channel.ts'
import { hostTrust } from './host-trust.ts'
import { certificateCredential } from './login.ts'
import type { Ssh2 } from './ssh2.ts'
import { connectUpstream } from './upstream.ts'
import { string } from './wire.ts'

export type ErrandParts = {
  readonly ssh2: Ssh2
  readonly ident: string
  readonly authority: SigningKey
  readonly now: () => Moment
  readonly upstreams: {
    reach(target: Target, protocol: Protocol, signal: AbortSignal): Promise<Duplex>
    hostKey(target: Target): Promise<string | undefined>
  }
}

/** The name of no account: an agent lets nothing but errands in by it. */
const ACCOUNT = 'errands@sallyport'
const ANSWER_MS = 15_000
const MOST_BYTES = 8 * 2 ** 20

/** @param name the subsystem. @returns what the agent said, unchecked. @throws {Refusal} TARGET_UNREACHABLE */
export async function errand(parts: ErrandParts, target: Target, name: string): Promise<string> {
  const { authority, ident, now, ssh2, upstreams } = parts
  const unreachable = (why: string, cause?: unknown) =>
    new Refusal('TARGET_UNREACHABLE', `The agent of ${target.name} cannot be asked: ${why}`, { cause })
  const key = await upstreams.hostKey(target)
  if (key === undefined) throw unreachable('it is not enrolled.')
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(unreachable('it did not answer in time.')), ANSWER_MS)
  try {
    const stream = await upstreams.reach(target, 'ssh', late.signal)
    const upstream = await connectUpstream({
      ssh2,
      ident,
      stream,
      signal: late.signal,
      login: {
        account: ACCOUNT,
        target: target.name,
        trust: hostTrust({ keys: [key], knownHosts: [], authorities: [] }, target.name, 22, now),
        credential: certificateCredential(authority, {
          account: ACCOUNT,
          keyId: `errand ${name.slice(0, 100)}`,
          now: now(),
          option: { name: 'errand@sallyport', value: '' },
        }),
      },
    })
    try {
      const { promise: over, reject: fail } = Promise.withResolvers<never>()
      const { promise: answer, resolve } = Promise.withResolvers<string>()
      // Whoever is at an earlier step when it fails has not come to it yet: nobody's failure ends a worker.
      over.catch(() => undefined)
      late.signal.addEventListener('abort', () => fail(late.signal.reason), { once: true })
      const heard: Buffer[] = []
      let size = 0
      let channel: Channel | undefined
      const opening = upstream.open('session', {
        data: (bytes) => {
          size += bytes.length
          if (size > MOST_BYTES) return fail(unreachable('its answer is too long.'))
          heard.push(Buffer.from(bytes))
          // What comes before anything was asked gets no room for more.
          return channel?.credit(bytes.length)
        },
        eof: () => undefined,
        request: () => true,
        closed: () => resolve(Buffer.concat(heard).toString()),
      })
      opening.catch(() => undefined)
      channel = await Promise.race([opening, over])
      const asked = channel.ask('subsystem', string(name))
      asked.catch(() => undefined)
      if (!(await Promise.race([asked, over]))) throw unreachable('it does not know this question.')
      return await Promise.race([answer, over])
    } finally {
      upstream.close()
      upstream.destroy()
    }
  } finally {
    clearTimeout(timer)
  }
}
