/** The operators' door: /health, /ready and /metrics on an address of their own, without sign-in, never public. */
import { createServer } from 'node:http'
import type { GatewayNumbers } from './telemetry.ts'

/** OpenTelemetry is loaded only when `where` is given. */
export async function openAdmin(
  where: { readonly host: string; readonly port: number } | undefined,
  read: () => GatewayNumbers,
): Promise<{ readonly port: number; close(): Promise<void> } | undefined> {
  if (where === undefined) return undefined
  const metrics = (await import('./telemetry.ts')).startMetrics(read)
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown): void => {
      response
        .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
        .end(`${JSON.stringify(body)}\n`)
    }
    if (request.method !== 'GET') return answer(405, { error: 'GET only' })
    if (request.url === '/metrics') return metrics.page(request, response)
    if (request.url === '/health') return answer(200, { status: 'alive' })
    if (request.url !== '/ready') return answer(404, { error: 'only /metrics, /health and /ready are here' })
    const { workers, auditReachable, journalBacklogBytes } = read()
    return answer(workers > 0 ? 200 : 503, { workers, auditReachable, journalBacklogBytes })
  })
  const { host, port } = where
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => resolve())
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      await metrics.close()
    },
  }
}
