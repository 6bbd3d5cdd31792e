/** A host of the demo that nobody can dial: the agent beside it dials out. Here it runs inside the demo's own process, and ends with it. */
import { mkdirSync } from 'node:fs'
import { enrol, runAgent } from '../../agents/agents.ts'
import { hasSettings, readOffers, readSettings, writeSettings } from '../../agents/settings.ts'
import type { Log } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { openState } from '../../gateway/state/state.ts'
import { createTunnels } from '../../gateway/tunnels/tunnels.ts'

export type DemoAgentParts = {
  readonly dir: string
  readonly stateFile: string
  readonly ssh: { readonly host: string; readonly port: number; readonly hostKey: string }
  /** Of the application that it brings in beside its shell. */
  readonly webPort: number
  readonly log: Log
}

export const AGENT_TARGET = 'prod-app'
const PATIENCE_MS = 10_000

/** Enrols it at the first start. @returns how to stop it. */
export async function startDemoAgent({
  dir,
  log,
  ssh,
  stateFile,
  webPort,
}: DemoAgentParts): Promise<() => Promise<void>> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const connected = Promise.withResolvers<void>()
  const lines = new Set<string>()
  const say = (sentence: string) => {
    log({ level: 'info', room: 'agent', message: sentence })
    const [, worker, of] = /^Connected to worker (\d+) of (\d+)/.exec(sentence) ?? []
    if (worker !== undefined && lines.add(worker).size >= Number(of)) connected.resolve()
  }
  if (!hasSettings(dir)) {
    const state = await openState({ url: `sqlite:${stateFile}`, clock: wallClock, log })
    const tunnels = createTunnels({ state, clock: wallClock, log, audit: () => undefined, worker: 'demo' })
    const targets = [AGENT_TARGET]
    const secret = await tunnels.issue('demo', { agent: AGENT_TARGET, targets, forMs: 60_000 })
    await tunnels.close()
    await state.close()
    const { host, hostKey, port } = ssh
    const token = { gateway: `${host}:${port}`, hostKey, agent: AGENT_TARGET, targets, secret }
    const text = `sallyport-agent.${Buffer.from(JSON.stringify(token)).toString('base64url')}`
    writeSettings(dir, await enrol({ data: dir, say }, text, { at: undefined, offers: undefined }))
  }
  const offers = readOffers([`${AGENT_TARGET}.ssh=shell`, `${AGENT_TARGET}.http=127.0.0.1:${webPort}`])
  const stop = new AbortController()
  const over = runAgent({ data: dir, say }, { ...readSettings(dir), offers }, stop.signal)
  // Whoever types at once what the demo printed would find it away.
  await Promise.race([connected.promise, over, new Promise((late) => setTimeout(late, PATIENCE_MS).unref())])
  return async () => {
    stop.abort()
    await over
  }
}
