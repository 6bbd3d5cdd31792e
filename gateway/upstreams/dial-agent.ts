/** Connects to a target through the line that its agent holds to us. The agent alone decides where that leads. */
import type { Duplex } from 'node:stream'
import { Refusal } from '../model/refusal.ts'
import type { Protocol, Target } from '../model/target.ts'
import type { Admission } from '../session/session.ts'

/** What is asked of whoever keeps the lines. */
export type Agents = {
  /** @throws {Refusal} TARGET_UNREACHABLE */
  dial(agent: string, target: string, protocol: Protocol): Promise<Duplex>
  shellKey(agent: string): Promise<string | undefined>
  workspaces(agent: string): string | undefined
}

/** As for a direct line: time to kill what runs there and to say goodbye. */
const LAST_WORDS_MS = 500

export const agentOf = (target: Target, protocol: Protocol): string | undefined => target[protocol]?.agent

/** @throws {Refusal} TARGET_UNREACHABLE, or why the admission is over. */
export async function dialAgent(
  agents: Agents | undefined,
  agent: string,
  admission: Admission,
  signal?: AbortSignal,
): Promise<Duplex> {
  const over = admission.over()
  if (over !== undefined) throw over
  const { protocol, target } = admission
  const ended = signal === undefined ? admission.ended : AbortSignal.any([admission.ended, signal])
  const stream = await reachAgent(agents, agent, { target, protocol, signal: ended })
  const cut = () => setTimeout(() => stream.destroy(), LAST_WORDS_MS)
  ended.addEventListener('abort', cut, { once: true })
  stream.once('close', () => ended.removeEventListener('abort', cut))
  if (ended.aborted) cut()
  return stream
}

/** For upkeep, and behind {@link dialAgent}. The caller closes it. @throws {Refusal} */
export async function reachAgent(
  agents: Agents | undefined,
  agent: string,
  { protocol, signal, target }: { readonly target: Target; readonly protocol: Protocol; readonly signal: AbortSignal },
): Promise<Duplex> {
  if (agents === undefined)
    throw new Refusal('TARGET_UNREACHABLE', `${target.name} cannot be reached: this gateway takes no agents.`)
  const why = () => (signal.reason instanceof Refusal ? signal.reason : new Refusal('GRANT_ENDED', 'It was ended.'))
  if (signal.aborted) throw why()
  const stream = await agents.dial(agent, target.name, protocol)
  stream.on('error', () => undefined)
  if (!signal.aborted) return stream
  stream.destroy()
  throw why()
}
