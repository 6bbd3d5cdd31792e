/** A road to ClickHouse on which answers get lost: for tests of what is sent again. */
import { createHash } from 'node:crypto'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export type BadRoad = {
  readonly url: string
  /** What happens to the next insert: it arrives and its answer is lost, it is refused, or it goes well. */
  next: 'lose the answer' | 'refuse' | 'well'
  readonly happened: string[]
  /** Deduplication token and hash of the rows of each insert. */
  readonly inserts: string[]
  close(): Promise<void>
}

export async function badRoadTo(url: string): Promise<BadRoad> {
  const road = { url: '', next: 'well' as BadRoad['next'], happened: [] as string[], inserts: [] as string[] }
  const server = createServer((from, to) => {
    const fate = from.url?.includes('INSERT') === true ? road.next : 'well'
    road.next = fate === road.next ? 'well' : road.next
    if (fate !== 'well') road.happened.push(fate)
    if (fate === 'refuse') {
      from.resume().on('end', () => to.writeHead(500).end('Code: 999. DB::Exception: no'))
      return
    }
    if (from.url?.includes('INSERT') === true) {
      const token = new URL(from.url, url).searchParams.get('insert_deduplication_token')
      const hash = createHash('sha256')
      from.on('data', (bytes: Buffer) => hash.update(bytes))
      from.on('end', () => road.inserts.push(`${token} ${hash.digest('hex')}`))
    }
    const { host: _, ...headers } = from.headers
    const on = request(new URL(from.url ?? '/', url), { method: from.method, headers, agent: false }, (answer) => {
      if (fate === 'lose the answer') {
        answer.resume().on('end', () => from.socket.destroy())
        return
      }
      to.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(to)
    })
    on.on('error', () => from.socket.destroy())
    from.pipe(on)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  road.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return Object.assign(road, { close })
}
