/** Two logs of the demo's application, and the exact commands that the role `logs` may run on them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const APPLICATIONS = ['orders', 'billing'] as const

/** Writes the logs below `dir`. No commands where the path holds a sign that cannot stand in one. */
export function logCommands(dir: string): Readonly<Record<string, object>> {
  if (!/^[A-Za-z0-9_./-]+$/.test(dir)) return {}
  const logs = join(dir, 'logs')
  mkdirSync(logs, { recursive: true, mode: 0o755 })
  for (const application of APPLICATIONS)
    writeFileSync(
      join(logs, `${application}.log`),
      Array.from({ length: 300 }, (_, n) => line(application, n + 1)).join(''),
    )
  const where = `${logs}/{app:enum ${APPLICATIONS.join(',')}}.log`
  return {
    logs: { run: `tail -n {lines:int 1..10000=100} ${where}`, description: 'The last lines of an application’s log' },
    follow: { run: `tail -n 10 -F ${where}`, description: 'The log as it grows, for ten minutes', timeout: '10m' },
    disk: { run: 'df -h', description: 'How full the disks are' },
  }
}

const line = (application: string, n: number): string =>
  `${new Date(Date.UTC(2026, 0, 1, 0, 0, n * 7)).toISOString()} ${application} ${n % 50 === 0 ? 'ERROR payment provider timed out, trying again' : `INFO request ${n} done in ${(n * 37) % 400} ms`}\n`
