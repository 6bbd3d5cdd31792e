/** Tells approvers that somebody waits for them, and of alerts: JSON to one address, as chat programs take it (`text`), and for programs the same in parts. */
import type { AuditEvent } from './model/event.ts'
import type { Log } from './model/log.ts'
import { Fault } from './model/refusal.ts'
import type { SecretRef } from './model/target.ts'

export type NotifySettings = {
  /** https, or http on loopback. It is a secret: whoever has it can write there. */
  readonly webhook: SecretRef
  /** Whether a held statement goes along, with its plan, and the line that raised an alert. */
  readonly details: boolean
}

export type NotifierParts = {
  /** Asked each time, so that a reload of the configuration counts at once; undefined: nobody is told. */
  readonly settings: () => NotifySettings | undefined
  readonly secret: (ref: SecretRef) => Promise<string>
  readonly publicUrl: string
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

/** Takes every audit event; a request that people decide about is told of, once, and so is an alert. Never throws and never waits. */
export function createNotifier(parts: NotifierParts): (event: AuditEvent) => void {
  const known = new Set<string>()
  let underWay = 0
  return (event) => {
    const settings = parts.settings()
    const message = settings === undefined ? undefined : messageOf(event, parts.publicUrl, settings.details)
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

async function tell(parts: NotifierParts, body: string): Promise<void> {
  const { log, patienceMs = PATIENCE_MS } = parts
  for (const wait of [0, ...patienceMs]) {
    if (wait > 0) await new Promise((wake) => setTimeout(wake, wait).unref())
    const settings = parts.settings()
    if (settings === undefined) return
    const why = await posted(() => parts.secret(settings.webhook), body)
    if (why === undefined) return
    // Never the address: it is a secret.
    log({ level: 'warn', room: 'gateway', message: 'approvers could not be notified', details: { why } })
  }
}

/** Why it did not arrive. */
async function posted(address: () => Promise<string>, body: string): Promise<string | undefined> {
  try {
    const url = new URL(await address())
    const isLoopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
    if (url.protocol !== 'https:' && !isLoopback) return 'the address is not https'
    const { body: answer, status } = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    // Nobody reads what it says, however long that is.
    await answer?.cancel()
    return status < 300 ? undefined : `status ${status}`
  } catch (error) {
    // A fault of ours names the reference, not what is behind it.
    if (error instanceof Fault) return error.message
    return error instanceof Error ? error.name : 'it failed'
  }
}

function messageOf(event: AuditEvent, publicUrl: string, isFull: boolean) {
  if (event.kind === 'session.alert') return alertOf(event, publicUrl, isFull)
  return event.kind === 'grant.requested' && Number(event.details['approvalsNeeded']) > 0
    ? requestOf(event, publicUrl, isFull)
    : undefined
}

function requestOf({ details, ...event }: AuditEvent, publicUrl: string, isFull: boolean) {
  const url = new URL(`/requests/${event.grant ?? ''}`, publicUrl).href
  const words = wordsIn(details)
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
  const full = isHeld && isFull
  return {
    text: text(
      event.text,
      ...(full ? [statement, tables.length === 0 ? '' : `tables: ${tables.join(', ')}`, words('plan') ?? ''] : []),
      url,
    ),
    kind: isHeld ? 'hold' : 'request',
    request: event.grant,
    person: event.actor,
    target: event.target,
    role: words('role'),
    reason: words('reason'),
    url,
    ...(full ? held : {}),
  }
}

function alertOf({ details, ...event }: AuditEvent, publicUrl: string, isFull: boolean) {
  const url = new URL(`/sessions/${event.session ?? ''}`, publicUrl).href
  const words = wordsIn(details)
  const line = isFull ? words('line') : undefined
  return {
    text: text(event.text, line ?? '', url),
    kind: 'alert',
    alert: words('alert'),
    grant: event.grant,
    person: event.actor,
    target: event.target,
    ended: details['ends'] === true,
    url,
    ...(line === undefined ? {} : { line }),
  }
}

const text = (...lines: readonly string[]): string =>
  lines
    .map(plain)
    .filter((line) => line !== '')
    .join('\n')

const wordsIn =
  (details: AuditEvent['details']) =>
  (name: string): string | undefined => {
    const value = details[name]
    return typeof value === 'string' ? plain(value) : undefined
  }

/** Untrusted text on its way to other people's screens: no control or direction characters, and an end. */
const plain = (text: string): string =>
  text
    .replaceAll(/[^\P{C}\n]/gu, '\uFFFD')
    .replaceAll(/[\u2028\u2029]/g, ' ')
    .slice(0, MOST_CHARACTERS)
