/** Finds the audit store of a deployment and opens it for reading: a server by the configuration, the embedded one running or stopped. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Config } from '../../config/load.ts'
import { takeDataDirectory } from '../../gateway/data-directory.ts'
import { silent } from '../../gateway/model/log.ts'
import { type AuditStore, readAuditor, startClickHouse } from '../../gateway/recorder/recorder.ts'

/** @throws with a sentence when there is no way to it. */
export async function openStore(config: Config, opened: AsyncDisposableStack): Promise<AuditStore> {
  const { audit } = config
  if (audit.kind === 'server') return { url: audit.url, username: audit.username, password: secretOf(audit.password) }
  const dir = join(resolve(config.data), 'clickhouse')
  const running = readAuditor(dir)
  if (running !== undefined && (await answers(running))) return running
  // Nobody may start a gateway on the directory while we read it.
  const taken = await takeDataDirectory(config.data)
  opened.defer(() => taken.release())
  const engine = await startClickHouse({ dir, log: silent })
  opened.defer(() => engine.stop())
  return engine.auditor
}

export function secretOf(reference: string): string {
  const secret = reference.startsWith('env:')
    ? process.env[reference.slice(4)]
    : readFileSync(reference.replace(/^file:/, ''), 'utf8').trim()
  if (secret === undefined || secret === '') throw new Error(`${reference} is not set`)
  return secret
}

const answers = async ({ url, username, password }: AuditStore): Promise<boolean> => {
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  return fetch(`${url}/?query=SELECT%201`, { headers: { authorization }, signal: AbortSignal.timeout(5000) }).then(
    ({ ok }) => ok,
    () => false,
  )
}
