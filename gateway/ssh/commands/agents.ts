/** agents, agent-token, agent-revoke: the processes beside the hosts that dial in. For admins. */
import { agentToken as agentTokenText } from '../../model/agent-token.ts'
import type { Moment } from '../../model/moment.ts'
import { Refusal } from '../../model/refusal.ts'
import { table, together } from '../screen/table.ts'
import { plain } from '../screen/text.ts'
import { type Command, type Context, printJson, WrongUsage } from './command.ts'
import { isoTime } from './json.ts'
import { spanOf } from './spans.ts'

/** What these commands ask of whoever keeps agents. tunnels/ fits. */
export type AgentDesk = {
  issue(
    by: string,
    wish: { readonly agent: string; readonly targets: readonly string[]; readonly forMs: number },
  ): Promise<string>
  revoke(by: string, agent: string): Promise<void>
  agents(): Promise<
    readonly {
      readonly name: string
      readonly fingerprint: string
      readonly targets: readonly string[]
      readonly enrolledBy: string
      readonly enrolledAt: Moment
      readonly isRevoked: boolean
      readonly lines: readonly {
        readonly worker: string
        readonly address: string
        readonly version: string
        readonly workspaces: string
        readonly offers: readonly string[]
        readonly since: Moment
        readonly seenAt: Moment
      }[]
    }[]
  >
}

const DEFAULT_MINUTES = 15

function deskOf({ agents: desk, desk: access, identity }: Context): AgentDesk {
  if (!access.isAdmin(identity)) throw new Refusal('NOT_ALLOWED', 'Agents are an affair of admins.')
  if (desk === undefined) throw new Refusal('NOT_FOUND', 'This gateway takes no agents.')
  return desk
}

export const agents: Command = {
  name: 'agents',
  usage: '[--json]',
  summary: 'admins: the agents, where they are connected from, and what they offer',
  example: 'agents',
  options: { json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const known = await deskOf(context).agents()
    if (given.flag('json'))
      return printJson(
        context,
        known.map(({ enrolledAt, lines, ...agent }) => ({
          ...agent,
          enrolledAt: isoTime(enrolledAt),
          lines: lines.map(({ seenAt, since, ...line }) => ({
            ...line,
            since: isoTime(since),
            seenAt: isoTime(seenAt),
          })),
        })),
      )
    if (known.length === 0) {
      await context.console.note('There is no agent. `agent-token` makes a token for one.\n')
      return 0
    }
    const now = context.clock.now()
    const rows = known.map(({ isRevoked, lines, name, targets }) => {
      const last = lines.toSorted((a, b) => b.seenAt - a.seenAt)[0]
      const offers = [...new Set(lines.flatMap((line) => line.offers))]
      return [
        name,
        isRevoked ? 'revoked' : last === undefined ? 'away' : together(`${lines.length} lines`),
        targets.join(' '),
        offers.join(' ') || '-',
        plain(last?.address ?? '-', 64),
        plain(last?.version ?? '-', 64),
        last === undefined ? '-' : together(`${spanOf(Math.max(1000, now - last.seenAt))} ago`),
      ]
    })
    await context.console.print(
      table(['AGENT', 'STATE', 'MAY SERVE', 'OFFERS', 'FROM', 'VERSION', 'SEEN'], rows, context.console.columns),
    )
    for (const { lines, name } of known)
      for (const words of new Set(lines.map((line) => line.workspaces)))
        await context.console.print(`${name}: ${plain(words, 300)}\n`)
    return 0
  },
}

export const agentToken: Command = {
  name: 'agent-token',
  usage: 'NAME --targets A,B [--for 15m] [--json]',
  summary: 'admins: a token with which one agent enrols once',
  example: 'agent-token prod-app --targets prod-app',
  details:
    'The agent dials out from beside the host; nothing there listens. An agent of that name that exists already gets a new key by it.',
  options: { targets: 'text', for: 'text', json: 'flag' },
  words: [1, 1],
  async run(context, given) {
    const desk = deskOf(context)
    const name = given.word(0)
    const targets = [
      ...new Set(
        given
          .need('targets')
          .split(',')
          .filter((target) => target !== ''),
      ),
    ]
    const odd = targets.find((target) => !/^[a-z][a-z0-9-]{0,62}$/.test(target))
    if (odd !== undefined) throw new WrongUsage(`${plain(odd, 64)} cannot be the name of a target.`)
    const secret = await desk.issue(context.identity.username, {
      agent: name,
      targets,
      forMs: (given.minutes('for') ?? DEFAULT_MINUTES) * 60_000,
    })
    const { host, port } = context.address
    const token = agentTokenText({
      gateway: `${host}:${port}`,
      hostKey: context.hostKeys.host,
      agent: name,
      targets,
      secret,
    })
    if (given.flag('json')) return printJson(context, { agent: name, targets, token })
    await context.console.print(`${token}\n`)
    const away = targets.filter((target) => context.target(target) === undefined)
    await context.console.note(
      [
        `It works once. On the host: npm run agent -- --enroll TOKEN --data DIRECTORY`,
        `Then write \`agent: ${name}\` into the target's ssh endpoint in the configuration.`,
        ...(away.length === 0
          ? []
          : [`The configuration has no target ${plain(away.join(', '), 200)} yet; is the name right?`]),
        '',
      ].join('\n'),
    )
    return 0
  },
}

export const agentRevoke: Command = {
  name: 'agent-revoke',
  usage: 'NAME',
  summary: 'admins: an agent is out, now; sessions through it end',
  example: 'agent-revoke prod-app',
  options: {},
  words: [1, 1],
  async run(context, given) {
    await deskOf(context).revoke(context.identity.username, given.word(0))
    await context.console.print(`The agent ${plain(given.word(0), 64)} is revoked.\n`)
    return 0
  },
}
