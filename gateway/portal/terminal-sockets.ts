/** The web terminal's socket: frames on one side, typed messages on the other. */
import type { RawData, WebSocket } from 'ws'
import { MalformedMessage } from '../model/refusal.ts'
import type { PasskeyDesk } from './parts.ts'
import type { FromPage, PageGuest, PageWire, Terminals, ToPage } from '../session/session.ts'
import { jsonOf, type PageDoor, POLICY } from './page-sockets.ts'
import { fromPage, MOST_MESSAGE, type ToPage as Written, type TerminalHello, terminalHello } from './schema/terminal.ts'
import { touched } from './touched.ts'
import { choiceOf, iso } from './views.ts'

export type TerminalDoorParts = { readonly passkeys: Pick<PasskeyDesk, 'redeem'>; readonly terminals: Terminals }

export const terminalDoor = (parts: TerminalDoorParts): PageDoor => ({
  most: MOST_MESSAGE,
  hello: (message) => {
    const hello = terminalHello.safeParse(message).data
    return hello && { csrf: hello.csrf, lead: (line, guest) => void lead(parts, new SocketWire(line), guest, hello) }
  },
})

async function lead(
  { passkeys, terminals }: TerminalDoorParts,
  wire: PageWire,
  guest: PageGuest,
  hello: TerminalHello,
): Promise<void> {
  const { columns, rows } = hello
  if (hello.kind === 'open') {
    const { confirmation, target, under } = hello
    const passkey = await touched(passkeys, guest.identity, target, confirmation)
    return terminals.open(wire, guest, { target, under: choiceOf(under), passkey, columns, rows })
  }
  const { subject } = guest.identity
  const claim = { subject, seat: guest.seat, address: guest.address }
  return terminals.back(wire, claim, { shell: hello.shell, from: hello.from, columns, rows })
}

/** @throws {MalformedMessage} */
function read(data: RawData, isBinary: boolean): FromPage | { readonly kind: 'beat' } {
  if (isBinary && Buffer.isBuffer(data)) return { kind: 'input', bytes: data }
  const { data: message } = fromPage.safeParse(isBinary ? undefined : jsonOf(data))
  if (message === undefined) throw new MalformedMessage('A message of a page that is none.')
  return message
}

function written(message: Exclude<ToPage, { kind: 'output' }>): Written {
  switch (message.kind) {
    case 'opened':
      return { ...message, expiresAt: iso(message.expiresAt) }
    case 'notice':
      return { ...message, expiresAt: message.expiresAt === undefined ? null : iso(message.expiresAt) }
    case 'ended':
      return { ...message, exitCode: message.exitCode ?? null }
    case 'refused':
      return { ...message, next: message.next ?? null }
    case 'moved':
    case 'taken':
      return message
  }
  return message satisfies never
}

class SocketWire implements PageWire {
  readonly #line: WebSocket

  constructor(line: WebSocket) {
    this.#line = line
  }

  send(message: ToPage): void {
    if (this.#line.readyState !== this.#line.OPEN) return
    this.#line.send(message.kind === 'output' ? message.bytes : JSON.stringify(written(message)))
  }

  close(): void {
    this.#line.close(1000)
  }

  onMessage(listener: (message: FromPage) => void): void {
    this.#line.on('message', (data, isBinary) => {
      try {
        const message = read(data, isBinary)
        if (message.kind === 'beat') this.#line.send('{"kind":"beat"}')
        else listener(message)
      } catch (failure) {
        if (!(failure instanceof MalformedMessage)) throw failure
        this.#line.close(POLICY, failure.message)
      }
    })
  }

  onClose(listener: () => void): void {
    if (this.#line.readyState === this.#line.CLOSED) listener()
    else this.#line.once('close', listener)
  }
}
