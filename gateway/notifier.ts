/** Tells approvers that somebody waits for them: JSON to one address, as chat programs take it (`text`), and for programs the same in parts. */
import type { AuditEvent } from './model/event.ts'
import type { Log } from './model/log.ts'

export type NotifierParts = {
  /** https, or http on loopback. It is a secret: whoever has it can write there. */
  readonly address: () => Promise<string>
  readonly publicUrl: string
  /** Whether a held statement goes along, with its plan. */
  readonly details: boolean
  readonly log: Log
  /** Before each further try. */
  readonly patienceMs?: readonly number[]
}

const PATIENCE_MS = [1_000, 5_000, 30_000]
const TIMEOUT_MS = 5_000
/** More at a time is a flood that nobody reads. */
const MOST_UNDER_WAY = 50
const MOST_KNOWN = 1_000
const MOST_CHARACTERS = 3_000

/** Takes every audit event; a request that people decide about is told of, once. Never throws and never waits. */
export function createNotifier(parts: NotifierParts): (event: AuditEvent) => void {
  const known = new Set<string>()
  let underWay = 0
  return (event) => {
    const message = messageOf(event, parts)
    // What leaves the outbox can leave it twice.
    if (message === undefined || known.has(event.id)) return
    if (known.size >= MOST_KNOWN) known.clear()
    known.add(event.id)
    if (underWay >= MOST_UNDER_WAY) {
      parts.log({ level: 'warn', room: 'gateway', message: 'too many notifications at once: one was left out' })
      return
    }
    underWay += 1
    void tell(parts, JSON.stringify(message)).finally(() => {
      underWay -= 1
    })
  }
}

async function tell({ address, log, patienceMs = PATIENCE_MS }: NotifierParts, body: string): Promise<void> {
  for (const wait of [0, ...patienceMs]) {
    if (wait > 0) await new Promise((wake) => setTimeout(wake, wait).unref())
    const why = await posted(address, body)
    if (why === undefined) return
    // Never the address: it is a secret.
    log({ level: 'warn', room: 'gateway', message: 'approvers could not be notified', details: { why } })
  }
}

/** Why it did not arrive. */
async function posted(address: NotifierParts['address'], body: string): Promise<string | undefined> {
  try {
    const url = new URL(await address())
    const isLoopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
    if (url.protocol !== 'https:' && !isLoopback) return 'the address is not https'
    const { status } = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    return status < 300 ? undefined : `status ${status}`
  } catch (error) {
    return error instanceof Error ? error.name : 'it failed'
  }
}

function messageOf({ kind, details, ...event }: AuditEvent, { publicUrl, details: isFull }: NotifierParts) {
  if (kind !== 'grant.requested' || !(Number(details['approvalsNeeded']) > 0)) return undefined
  const url = new URL(`/requests/${event.grant ?? ''}`, publicUrl).href
  const words = (name: string): string | undefined => {
    const value = details[name]
    return typeof value === 'string' ? plain(value) : undefined
  }
  const statement = words('normalised') ?? words('text')
  const isHeld = statement !== undefined
  const tables = Array.isArray(details['tables']) ? details['tables'].map(String) : []
  const rows = Number(details['estimatedRows'])
  const held = {
    statement,
    ...(tables.length === 0 ? {} : { tables }),
    ...(Number.isFinite(rows) ? { estimatedRows: rows } : {}),
    ...(words('plan') === undefined ? {} : { plan: words('plan') }),
  }
  const lines = [
    plain(event.text),
    ...(isHeld && isFull
      ? [statement, ...(tables.length === 0 ? [] : [`tables: ${tables.join(', ')}`]), words('plan') ?? '']
      : []),
    url,
  ]
  return {
    text: lines.filter((line) => line !== '').join('\n'),
    kind: isHeld ? 'hold' : 'request',
    request: event.grant,
    person: event.actor,
    target: event.target,
    role: words('role'),
    reason: words('reason'),
    url,
    ...(isHeld && isFull ? held : {}),
  }
}

/** Untrusted text on its way to other people's screens: no control or direction characters, and an end. */
const plain = (text: string): string =>
  text
    .replaceAll(/[^\P{C}\n]/gu, '\uFFFD')
    .replaceAll(/[\u2028\u2029]/g, ' ')
    .slice(0, MOST_CHARACTERS)
