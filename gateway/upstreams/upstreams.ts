/** Front door: opens a byte stream to a target, and resolves references to secrets. Nobody gets a stream without an Admission. */
import type { Duplex } from 'node:stream'
import type { Log } from '../model/log.ts'
import type { Protocol, SecretRef, Target } from '../model/target.ts'
import type { Admission } from '../session/session.ts'
import { type Agents, agentOf, dialAgent, reachAgent } from './dial-agent.ts'
import { dialTcp, reachTcp } from './dial-tcp.ts'
import { type Environment, resolveSecret } from './secrets.ts'

export type UpstreamsParts = {
  readonly log: Log
  /** Where `env:` secrets come from. main.ts passes the process's own. */
  readonly environment: Environment
  /** Lines of agents; left out, no target behind an agent can be reached. tunnels/ fits. */
  readonly agents?: Agents | undefined
}

export type Upstreams = {
  /**
   * A connected stream to the admitted endpoint (host and port of the admission's protocol; a unix socket for a PostgreSQL directory).
   * Destroyed half a second after the admission ends or the signal aborts (time to kill what runs there); otherwise the caller closes it.
   *
   * @throws {Refusal} TARGET_UNREACHABLE, or the reason why the admission is over.
   */
  dial(admission: Admission, signal?: AbortSignal): Promise<Duplex>
  /** For upkeep only; see {@link reachTcp}. The caller is the gateway itself, never a person's session. */
  reach(target: Target, protocol: Protocol, signal: AbortSignal): Promise<Duplex>
  /** The key of the shell inside the agent in front of a target, pinned at enrolment; undefined where there is none. */
  hostKey(target: Target): Promise<string | undefined>
  /** What its agent says about workspaces on its host; undefined where no line says anything. */
  workspaces(target: Target): string | undefined
  /** The bytes behind `env:NAME` or `file:/path` (mode 0600 or stricter). @throws {Fault} without the value in its text. */
  secret(ref: SecretRef): Promise<Buffer>
}

export function createUpstreams(parts: UpstreamsParts): Upstreams {
  return {
    dial: (admission, signal) => {
      const agent = agentOf(admission.target, admission.protocol)
      return agent === undefined
        ? dialTcp(parts.log, admission, signal)
        : dialAgent(parts.agents, agent, admission, signal)
    },
    reach: (target, protocol, signal) => {
      const agent = agentOf(target, protocol)
      return agent === undefined
        ? reachTcp(target, protocol, signal)
        : reachAgent(parts.agents, agent, { target, protocol, signal })
    },
    hostKey: async ({ ssh }) => (ssh?.agent === undefined ? undefined : parts.agents?.shellKey(ssh.agent)),
    workspaces: ({ ssh }) => (ssh?.agent === undefined ? undefined : parts.agents?.workspaces(ssh.agent)),
    secret: (ref) => resolveSecret(parts.environment, ref),
  }
}
