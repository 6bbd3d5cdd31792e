/** The demo's web application: the little back office of a shop. Pages, a JSON API, a WebSocket that echoes, a clock as an event stream, an upload. It trusts the gateway's word for who is there. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

export type DemoWeb = { readonly port: number; readonly url: string; stop(): Promise<void> }

type Order = {
  readonly id: number
  readonly customer: string
  readonly euros: number
  state: 'paid' | 'packed' | 'sent'
}

const TICK_MS = 1000

/** On 127.0.0.1; port 0 takes a free one. */
export async function startDemoWeb(port = 0): Promise<DemoWeb> {
  const orders: Order[] = [
    { id: 1041, customer: 'Hopper & Daughters', euros: 129, state: 'paid' },
    { id: 1042, customer: 'Café Lovelace', euros: 48, state: 'packed' },
    { id: 1043, customer: 'Noether Verlag', euros: 312, state: 'sent' },
  ]
  const server = createServer((request, response) => {
    answer(request, response, orders).catch(() => response.destroy())
  })
  const echo = new WebSocketServer({ noServer: true, maxPayload: 1024 * 1024 })
  server.on('upgrade', (request, socket, head) => {
    if (request.url !== '/echo') socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    else
      echo.handleUpgrade(request, socket, head, (line) => {
        line.on('error', () => line.terminate())
        line.on('message', (data, isBinary) => line.send(data, { binary: isBinary }))
      })
  })
  await listening(server, port)
  const chosen = (server.address() as AddressInfo).port
  return {
    port: chosen,
    url: `http://127.0.0.1:${chosen}`,
    stop: async () => {
      for (const line of echo.clients) line.terminate()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, orders: Order[]): Promise<void> {
  const { method } = request
  const path = (request.url ?? '/').split('?', 1)[0]
  if (path === '/' && (method === 'GET' || method === 'HEAD')) {
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'set-cookie': 'shop_visit=1; Path=/; HttpOnly',
    })
    response.end(page(whoIs(request)))
  } else if (path === '/api/orders' && method === 'GET') json(response, 200, { orders })
  else if (path === '/api/me' && method === 'GET') json(response, 200, whoIs(request))
  else if (path?.startsWith('/api/orders/') === true && method === 'POST') {
    const order = orders.find(({ id }) => id === Number(path.slice('/api/orders/'.length)))
    if (order === undefined) json(response, 404, { error: 'There is no such order.' })
    else {
      order.state = order.state === 'paid' ? 'packed' : 'sent'
      json(response, 200, order)
    }
  } else if (path === '/upload' && (method === 'POST' || method === 'PUT')) json(response, 200, await received(request))
  else if (path === '/clock' && method === 'GET') clock(request, response)
  else json(response, 404, { error: 'There is nothing here.' })
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

async function received(request: IncomingMessage): Promise<object> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    hash.update(chunk)
  }
  return { bytes, sha256: hash.digest('hex') }
}

function clock(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const tick = () => response.write(`data: ${new Date().toISOString().slice(11, 19)}\n\n`)
  tick()
  const timer = setInterval(tick, TICK_MS)
  request.once('close', () => clearInterval(timer))
}

type Who = { readonly name: string; readonly groups: readonly string[]; readonly grant: string }

/** A real application checks the signature against the gateway's keys; this one is only reachable through the gateway. */
function whoIs(request: IncomingMessage): Who {
  const assertion = String(request.headers['sallyport-assertion'] ?? '')
  try {
    const claims = JSON.parse(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString()) as {
      readonly preferred_username: string
      readonly groups: readonly string[]
      readonly grant: string
    }
    return { name: claims.preferred_username, groups: claims.groups, grant: claims.grant }
  } catch {
    return { name: 'nobody', groups: [], grant: '' }
  }
}

const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (symbol) => `&#${symbol.charCodeAt(0)};`)

const page = (who: Who): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orders · Back office</title><link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --paper: #fff; --ground: #f3f1ec; --line: #d9d4c9; --mark: #8a4b08 }
@media (prefers-color-scheme: dark) { :root { --ink: #ece8e0; --soft: #aaa395; --paper: #24211c; --ground: #191713; --line: #49443b; --mark: #e9a65b } }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
header, main { max-width: 44rem; margin: 0 auto; padding: 1rem 1.25rem }
header { display: flex; justify-content: space-between; gap: 1rem; flex-wrap: wrap; border-bottom: 1px solid var(--line) }
h1 { font-size: 1.5rem; margin: 1rem 0 } h2 { font-size: 1.1rem; margin: 0 0 .5rem }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem 1.25rem; margin: 1rem 0 }
table { width: 100%; border-collapse: collapse } th, td { text-align: left; padding: .45rem .5rem; border-bottom: 1px solid var(--line) } td.number { text-align: right; font-variant-numeric: tabular-nums }
button, input { font: inherit; padding: .35rem .8rem; border-radius: .3rem; border: 1px solid var(--line); background: transparent; color: inherit } button { cursor: pointer; color: var(--mark); border-color: var(--mark) } button:disabled { opacity: .4; cursor: default }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px }
.soft, output { color: var(--soft) }
</style>
</head>
<body>
<header><strong>Shop back office</strong><span id="who">${escaped(who.name)} <span class="soft">(${escaped(who.groups.join(', '))}, grant ${escaped(who.grant)})</span></span></header>
<main>
<h1>Orders</h1>
<section><table><thead><tr><th>Order</th><th>Customer</th><th>Euros</th><th>State</th><th></th></tr></thead><tbody id="orders"></tbody></table><p id="problem" role="status" class="soft"></p></section>
<section><h2>Clock of the shop</h2><output id="clock">…</output></section>
<section><h2>Echo</h2><form id="say"><label>Say <input id="words" value="hello"></label> <button>Send</button></form><output id="echo">not connected</output></section>
<section><h2>Upload</h2><label>A file <input type="file" id="file"></label> <output id="uploaded"></output></section>
</main>
<script>
const by = (id) => document.getElementById(id)
const tell = async (answer) => { const body = await answer.json().catch(() => ({})); if (!answer.ok) throw new Error(body.error?.message ?? body.error ?? answer.status); return body }
async function orders() {
  const { orders } = await tell(await fetch('/api/orders'))
  by('orders').replaceChildren(...orders.map((order) => {
    const row = document.createElement('tr')
    for (const [i, text] of [order.id, order.customer, order.euros, order.state].entries()) { const cell = row.insertCell(); cell.textContent = text; if (i === 2) cell.className = 'number' }
    const button = document.createElement('button'); button.textContent = 'Next step'; button.disabled = order.state === 'sent'
    button.onclick = () => fetch('/api/orders/' + order.id, { method: 'POST' }).then(tell).then(orders_).catch((why) => { by('problem').textContent = why.message })
    row.insertCell().append(button)
    return row
  }))
}
const orders_ = () => { by('problem').textContent = ''; return orders() }
orders().catch((why) => { by('problem').textContent = why.message })
const clock = new EventSource('/clock')
clock.onmessage = ({ data }) => { by('clock').textContent = data }
clock.onerror = () => { by('clock').textContent = 'stopped' }
const line = new WebSocket(location.origin.replace('http', 'ws') + '/echo')
line.onopen = () => { by('echo').textContent = 'connected' }
line.onmessage = ({ data }) => { by('echo').textContent = data }
line.onclose = ({ reason }) => { by('echo').textContent = 'closed' + (reason ? ': ' + reason : '') }
by('say').onsubmit = (event) => { event.preventDefault(); line.send(by('words').value) }
by('file').onchange = ({ target }) => fetch('/upload', { method: 'POST', body: target.files[0] }).then(tell).then(({ bytes, sha256 }) => { by('uploaded').textContent = bytes + ' bytes, sha256 ' + sha256.slice(0, 12) + '…' }).catch((why) => { by('uploaded').textContent = why.message })
</script>
</body>
</html>
`
