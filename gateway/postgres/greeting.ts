/** The start of a connection, up to the start-up message: TLS in its three ways, GSSAPI declined, cancel requests. */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import { negotiateProtocolVersion } from './message.ts'
import { ByteReader } from './reader.ts'
import { MAX_STARTUP, readStartupPacket, type StartupPacket } from './startup.ts'
import type { SecureClient, TlsDoor } from './tls-door.ts'

export type Greeted =
  | { readonly type: 'cancel'; readonly processId: number; readonly key: Buffer }
  | {
      readonly type: 'client'
      readonly stream: Duplex
      readonly reader: ByteReader
      readonly parameters: ReadonlyMap<string, string>
      readonly secure: SecureClient | undefined
    }

/** TLS's first byte of a handshake record. */
const TLS_HANDSHAKE = 0x16

/** What was said so far. Whoever holds it can still answer when {@link greet} throws. */
export type Line = { stream: Socket }

/**
 * @throws {MalformedMessage}, {Refusal}, or Closed.
 * @param line is changed when the connection becomes a TLS one.
 */
export async function greet(line: Line, door: TlsDoor, plaintextIsFine: boolean): Promise<Greeted> {
  const socket = line.stream
  let reader = new ByteReader(socket)
  let secure: SecureClient | undefined
  const upgrade = async (alpn: boolean) => {
    const ahead = reader.release()
    if (ahead.length > 0) socket.unshift(ahead)
    secure = await door.upgrade(socket, { alpn })
    line.stream = secure.stream
    reader = new ByteReader(secure.stream)
  }
  if ((await reader.peek()) === TLS_HANDSHAKE) await upgrade(true)
  const asked = { ssl: false, gssenc: false }
  for (;;) {
    const packet = await nextPacket(reader)
    switch (packet.type) {
      case 'ssl':
      case 'gssenc':
        if (secure !== undefined || asked[packet.type]) throw new MalformedMessage('asked for encryption twice')
        asked[packet.type] = true
        // Bytes that came along were never encrypted, and would be read as if they had been.
        if (reader.ahead > 0) throw new MalformedMessage('received unencrypted data after the request for encryption')
        socket.write(packet.type === 'ssl' ? 'S' : 'N')
        if (packet.type === 'ssl') await upgrade(false)
        break
      case 'cancel':
        return packet
      case 'startup':
        if (packet.negotiate !== undefined) line.stream.write(negotiateProtocolVersion(packet.negotiate))
        if (secure === undefined && !plaintextIsFine)
          throw new Refusal('NOT_SIGNED_IN', 'TLS is required.', { next: 'Use sslmode=verify-full.' })
        return { type: 'client', stream: line.stream, reader, parameters: packet.parameters, secure }
    }
  }
}

async function nextPacket(reader: ByteReader): Promise<StartupPacket> {
  const length = (await reader.take(4)).readInt32BE()
  if (length < 8 || length > MAX_STARTUP) throw new MalformedMessage('start-up packet length')
  return readStartupPacket(await reader.take(length - 4))
}
