/** SSH through an agent's tunnel against the same host dialled directly: the gateway's engine and journal here, the agent a process of its own. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readOffers, writeSettings } from '../../agents/settings.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { openJournal } from '../../gateway/recorder/recorder.ts'
import type { Connection } from '../../gateway/ssh/ssh.ts'
import { agentDirectory, startAgent } from '../../test/fixtures/agent.ts'
import { sshClient } from '../../test/fixtures/ssh-client.ts'
import { startGateway } from '../../test/fixtures/ssh-engine.ts'
import { type Sshd, startSshd } from '../../test/fixtures/sshd.ts'
import { median, pause, round, type Teardown } from './measure.ts'

const WAIT_MS = 30_000
const limits = { maxJournalBytes: Number.MAX_SAFE_INTEGER, minFreeBytes: 0 }

/** Speed through the agent by speed without, recording on in both. */
export async function agentAgainstDirect(
  t: Teardown,
  say: (line: string) => void,
  { megabytes, rounds }: { readonly megabytes: number; readonly rounds: number },
): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const journal = openJournal({ dir, worker: 'bench', clock: wallClock, log: silent, limits })
  t.teardown(() => journal.close())
  let sshd: Sshd | undefined
  const line = Promise.withResolvers<Connection>()
  let road: 'agent' | 'direct' = 'direct'
  const gateway = await startGateway(t, () => sshd, {
    allowAll: true,
    recordWith: journal,
    dial: async () =>
      road === 'agent'
        ? (await line.promise).openForwarded('prod-db', 22)
        : connect({ port: sshd?.port ?? 0, host: '127.0.0.1', noDelay: true }),
    onConnection: (connection) =>
      connection.onForwardIn(() => {
        line.resolve(connection)
        return true
      }),
  })
  const { host, userAuthority } = gateway.engine.keys
  sshd = await startSshd(t, { userAuthority })
  const data = agentDirectory(t)
  writeSettings(data, {
    gateway: { host: '127.0.0.1', port: gateway.port, hostKey: keyOf(host) },
    agent: 'bench',
    userAuthority: keyOf(userAuthority),
    offers: readOffers([`prod-db.ssh=127.0.0.1:${sshd.port}`]),
  })
  startAgent(t, data, [])
  const never = pause(WAIT_MS).then(() => Promise.reject(new Error('the agent never came')))
  await Promise.race([line.promise, never])
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts)
  const args = [...client.options, 'alice%prod-db@127.0.0.1', `head -c ${megabytes}M /dev/zero`]
  const seconds = { agent: [] as number[], direct: [] as number[] }
  for (let i = 0; i < rounds + 1; i++)
    for (road of i % 2 === 0 ? (['direct', 'agent'] as const) : (['agent', 'direct'] as const)) {
      const from = performance.now()
      const child = spawn('ssh', args, { stdio: ['ignore', 'ignore', 'inherit'] })
      const code = await new Promise((resolve) => child.once('close', resolve))
      if (code !== 0) throw new Error(`${road} ended with ${String(code)}`)
      // The first round warms up.
      if (i > 0) seconds[road].push((performance.now() - from) / 1000)
    }
  say(`upstream through an agent: ${round(median(seconds.agent))} s, direct: ${round(median(seconds.direct))} s`)
  return median(seconds.direct) / median(seconds.agent)
}

const keyOf = (line: string): string => line.split(' ').slice(0, 2).join(' ')
