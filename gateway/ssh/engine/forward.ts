/** -L: one TCP connection from the target onwards, where the role names the address. Recorded as bytes; it cannot be replayed as a terminal. */
import { Refusal } from '../../model/refusal.ts'
import { ALLOW, type Verdict } from '../../model/statement.ts'
import type { Session } from '../../session/session.ts'
import type { Blocks } from './blocks.ts'
import { bytesLane } from './bytes-lane.ts'
import type { Channel } from './channel.ts'
import { CONNECT_FAILED } from './channels.ts'
import type { Forward, Outcome } from './contract.ts'
import { mayForward } from './forward-rule.ts'
import { mayGoOn } from './go-on.ts'
import { inTime } from './in-time.ts'
import type { Pool } from './pool.ts'
import { type Ends, type Lane, Relay } from './relay.ts'
import { Tcpip } from './tcpip.ts'
import { string, uint32 } from './wire.ts'

export type ForwardParts = { readonly pool: Pool; readonly blocks: Blocks }

export async function forward(parts: ForwardParts, { connection, request, session }: Forward): Promise<Outcome> {
  if (!(request instanceof Tcpip)) throw new TypeError('A request of another engine.')
  try {
    const n = await judge(session, request)
    return await carry(parts, { connection, request, session }, request, n)
  } catch (failure) {
    if (!request.answered) request.fail(CONNECT_FAILED, failure instanceof Refusal ? failure.message : 'Not possible.')
    throw failure
  }
}

/** The verdict is in the journal before anything is opened. */
function judge(session: Session, { host, port }: Tcpip): Promise<number> {
  const { role } = session.admission
  const allowed = mayForward(role.ssh.forward, host, port)
  const reason = `Role ${role.name} does not allow forwarding to ${host}:${port}.`
  const verdict: Verdict = allowed ? ALLOW : { decision: 'deny', reason }
  const { ended, road } = session
  return new Promise((resolve, reject) => {
    const cut = () =>
      reject(ended.reason instanceof Error ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.'))
    if (ended.aborted) return cut()
    ended.addEventListener('abort', cut, { once: true })
    road.statement(
      { statement: { kind: 'forward', text: `${host}:${port}` }, verdict },
      (n) => {
        ended.removeEventListener('abort', cut)
        resolve(n)
      },
      () => {
        ended.removeEventListener('abort', cut)
        reject(new Refusal('NOT_ALLOWED', reason))
      },
    )
    return undefined
  })
}

async function carry(
  { blocks, pool }: ForwardParts,
  { connection, session }: Forward,
  request: Tcpip,
  n: number,
): Promise<Outcome> {
  const since = performance.now()
  let client: Channel | undefined
  const early: (() => void)[] = []
  let bytes = 0
  const counted = (ends: Ends): Lane => {
    const lane = bytesLane(session, blocks)(ends)
    const end = () => {
      lane.end()
      session.road.outcome({ n, result: 'done', ms: Math.round(performance.now() - since), bytes })
    }
    return {
      fromClient: (chunk) => {
        bytes += chunk.length
        lane.fromClient(chunk)
      },
      fromTarget: (chunk, stream) => {
        bytes += chunk.length
        // The target may speak before the client knows that the channel is open.
        if (client !== undefined) return lane.fromTarget(chunk, stream)
        const kept = Buffer.from(chunk)
        early.push(() => lane.fromTarget(kept, stream))
        return undefined
      },
      flush: () => lane.flush?.(),
      end,
    }
  }
  const relay = new Relay({
    session,
    client: () => {
      if (client === undefined) throw new Error('The client has no channel yet.')
      return client
    },
    hasTerminal: true,
    lane: counted,
  })
  const upstream = await pool.connect(connection, session)
  await mayGoOn(session)
  const fields = [string(request.host), uint32(request.port), string(request.originHost), uint32(request.originPort)]
  const opening = upstream.open('direct-tcpip', relay.target, ...fields)
  const target = await inTime(opening, session.ended, (late) => late.closeNow())
  relay.attach(target)
  client = request.accept({
    data: (chunk, stream) => (stream === 0 ? relay.client.data(chunk) : undefined),
    eof: () => relay.client.eof(),
    request: () => false,
    closed: () => relay.client.closed(),
  })
  const outcome = relay.run()
  for (const pass of early) pass()
  return outcome
}
