/** A session channel for a client that speaks no SSH: a browser, which the gateway gives a place among the others. */
import type { ClientLeg } from './client-leg.ts'
import type { Seat, Seated } from './contract.ts'
import { ClientChannel } from './session-channel.ts'
import { sizeOf } from './terminal.ts'

export function sit(leg: ClientLeg, start: Seated): Seat {
  const channel = new ClientChannel(() => undefined)
  channel.attach(leg)
  channel.seat(start)
  return {
    channel,
    input: (bytes) => channel.events.data(bytes, 0),
    leave: () => channel.events.closed(),
    resize: (columns, rows) => void channel.resize(sizeOf({ columns, rows, widthPixels: 0, heightPixels: 0 })),
    signal: (name) => void channel.signal(name),
  }
}
