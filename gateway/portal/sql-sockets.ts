/** The SQL console's socket: JSON frames on one side, typed messages on the other. */
import type { WebSocket } from 'ws'
import type { FromSqlPage, PageGuest, SqlPages, SqlWire, ToSqlPage } from '../session/session.ts'
import { jsonOf, type PageDoor, POLICY } from './page-sockets.ts'
import type { PasskeyDesk } from './parts.ts'
import { fromSqlPage, MOST_SQL_MESSAGE, type SqlHello, sqlHello, type ToSqlPage as Written } from './schema/sql.ts'
import { touched } from './touched.ts'
import { choiceOf, iso } from './views.ts'

export type SqlDoorParts = { readonly passkeys: Pick<PasskeyDesk, 'redeem'>; readonly pages: SqlPages }

export const sqlDoor = (parts: SqlDoorParts): PageDoor => ({
  most: MOST_SQL_MESSAGE,
  hello: (message) => {
    const hello = sqlHello.safeParse(message).data
    return hello && { csrf: hello.csrf, lead: (line, guest) => void lead(parts, line, guest, hello) }
  },
})

async function lead(parts: SqlDoorParts, line: WebSocket, guest: PageGuest, hello: SqlHello): Promise<void> {
  const { target, under, database, confirmation } = hello
  const wire = new JsonWire(line)
  const passkey = await touched(parts.passkeys, guest.identity, target, confirmation)
  parts.pages.open(wire, guest, { target, under: choiceOf(under), database, passkey })
}

/** What is on its way to a page that takes it is a small part of this: notices and errors come without being asked for. */
const MOST_UNSENT = 16 * 1024 * 1024

class JsonWire implements SqlWire {
  readonly #line: WebSocket

  constructor(line: WebSocket) {
    this.#line = line
  }

  send(message: ToSqlPage): void {
    if (this.#line.readyState !== this.#line.OPEN) return
    this.#line.send(JSON.stringify(written(message)))
    if (this.#line.bufferedAmount > MOST_UNSENT) this.#line.terminate()
  }

  close(): void {
    this.#line.close(1000)
  }

  onMessage(listener: (message: FromSqlPage) => void): void {
    this.#line.on('message', (data, isBinary) => {
      const message = isBinary ? undefined : fromSqlPage.safeParse(jsonOf(data)).data
      if (message === undefined) this.#line.close(POLICY, 'A message of a page that is none.')
      else listener(message)
    })
  }

  onClose(listener: () => void): void {
    if (this.#line.readyState === this.#line.CLOSED) listener()
    else this.#line.once('close', listener)
  }
}

function written(message: ToSqlPage): Written {
  switch (message.kind) {
    case 'opened':
      return { ...message, expiresAt: iso(message.expiresAt) }
    case 'columns':
      return { ...message, columns: [...message.columns] }
    case 'batch':
      return { ...message, rows: message.rows.map((row) => [...row]) }
    case 'error':
      return {
        ...message,
        detail: message.detail ?? null,
        hint: message.hint ?? null,
        position: message.position ?? null,
      }
    case 'notice':
      return { ...message, hint: message.hint ?? null }
    case 'ended':
    case 'refused':
      return { ...message, next: message.next ?? null }
    case 'text':
    case 'complete':
    case 'done':
      return message
  }
  return message satisfies never
}
