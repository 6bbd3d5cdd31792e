/** How a program ended (RFC 4254 §6.10): read from a target, told to a client, kept as a number. */
import { constants } from 'node:os'
import type { ClientLeg } from './client-leg.ts'
import { type Reader, string, uint32 } from './wire.ts'

export type Exit =
  | { readonly code: number }
  | { readonly signal: string; readonly dumped: boolean; readonly text: string }

export function readExit(type: string, body: Reader): Exit | undefined {
  if (type === 'exit-status') return { code: body.uint32() }
  if (type !== 'exit-signal') return undefined
  const signal = body.text(64)
  return { signal, dumped: body.boolean(), text: body.text(1024) }
}

export function sendExit(channel: Pick<ClientLeg, 'tell'>, exit: Exit): void {
  if ('code' in exit) channel.tell('exit-status', uint32(exit.code))
  else
    channel.tell('exit-signal', string(exit.signal), Buffer.from([exit.dumped ? 1 : 0]), string(exit.text), string(''))
}

/** As a shell would say it: 128 and the signal's number. */
export function exitCodeOf(exit: Exit): number {
  if ('code' in exit) return exit.code
  const number: unknown = Reflect.get(constants.signals, `SIG${exit.signal}`)
  return 128 + (typeof number === 'number' ? number : 0)
}
