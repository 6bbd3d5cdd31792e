/** Front door: an agent, enrolled once and then run. It dials out to the gateway and offers what its own settings name. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ensureKey } from './key.ts'
import { keepLines } from './lines.ts'
import { startReaper } from './reaper.ts'
import { address, type Offers, readOffers, readToken, type Settings } from './settings.ts'
import { createShell } from './shell.ts'
import { openLine } from './tunnel.ts'
import { openDesk } from './workspace/desk.ts'
import { openKept } from './workspace/kept.ts'
import { openWorkspaces } from './workspace/workspace.ts'

export type AgentParts = {
  /** Where its keys are; made at first use. */
  readonly data: string
  readonly say: (sentence: string) => void
}

const version = (): string =>
  String(JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')).version)

/** The token's secret goes to nobody but the gateway whose key it names. */
export async function enrol(
  { data, say }: AgentParts,
  text: string,
  given: { readonly at: string | undefined; readonly offers: Offers | undefined },
): Promise<Settings> {
  const { agent, gateway: named, secret, targets } = readToken(text)
  const gateway = given.at === undefined ? named : { ...named, ...address(given.at) }
  const key = ensureKey(join(data, 'agent_key'))
  const shell = ensureKey(join(data, 'agent_host_key'))
  let userAuthority = ''
  const line = await openLine({
    gateway,
    agent,
    key: key.secret,
    version: version(),
    offers: new Map(),
    shell: (stream) => stream.destroy(),
    say,
    enrol: {
      secret,
      shellKey: shell.line,
      authority: (told) => {
        userAuthority = told
      },
    },
  })
  line.close()
  if (userAuthority === '') throw new Error('This agent is enrolled already; start it without --enroll.')
  say(`Enrolled as ${agent}.`)
  const offers = given.offers ?? readOffers(targets.map((target) => `${target}.ssh=shell`))
  return { gateway, agent, userAuthority, offers }
}

/** Runs until the signal aborts; what it started ends with it. @throws {Error} with a sentence when its keys cannot be used. */
export async function runAgent({ data, say }: AgentParts, settings: Settings, signal: AbortSignal): Promise<void> {
  const { agent, gateway, keptMegabytes, offers, userAuthority } = settings
  const key = ensureKey(join(data, 'agent_key'))
  const reaper = startReaper()
  const workspaces = await openWorkspaces({ hidden: [resolve(data)], reaper })
  say(`${workspaces.words.slice(0, 1).toUpperCase()}${workspaces.words.slice(1)}.`)
  const shell = createShell({
    keyDirectory: data,
    userAuthority,
    reaper,
    desk: openDesk(workspaces, openKept(join(data, 'kept'), keptMegabytes)),
  })
  if (process.getuid?.() !== 0)
    say('Not root: the shell here is for the account that runs this agent, and for no other.')
  await keepLines(
    {
      open: () =>
        openLine({
          gateway,
          agent,
          key: key.secret,
          version: version(),
          about: workspaces.words,
          offers,
          shell: (stream) => shell.serve(stream),
          say,
        }),
      say,
      random: Math.random,
    },
    signal,
  )
  shell.close()
  reaper.close()
}
