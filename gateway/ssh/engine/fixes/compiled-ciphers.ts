/**
 * ssh2 1.17.0 takes fresh memory for each packet, and a dozen objects: with reads of a socket that are fresh memory, too, a third of the time
 * of a bulk transfer. These are the frames of RFC 4253 §6 around its compiled AES-GCM (RFC 5647) and ChaCha20-Poly1305 (OpenSSH's
 * PROTOCOL.chacha20poly1305): packets are deciphered where they were read, and made in one buffer. Must run before kex.js is loaded.
 */
/* oxlint-disable no-underscore-dangle -- the inside of ssh2 is named so */
import { MalformedMessage } from '../../../model/refusal.ts'
import { Blocks } from '../blocks.ts'
import type { CryptoModule, Payload } from '../ssh2-types.ts'
import type { Padding } from './packet-buffers.ts'

type NativeCipher = { encrypt(packet: Buffer, seqno: number): void; free(): void }
type NativeGcm = { decrypt(packet: Buffer, length: number, tag: Buffer): void }
type NativeChaCha = {
  decryptLen(length: Buffer, seqno: number): number
  decrypt(packet: Buffer, mac: Buffer, seqno: number): void
  free(): void
}
/** What both have in ssh2. */
type Outer<Native> = { readonly _instance: Native }

const LENGTH = 4
const TAG = 16
/** As in ssh2: the longest packet, whole. */
const MAX_PACKET = 35_000
const MOST_BLOCKS = 64

/** What ciphers give to be written holds until the next packet; messages of deciphers hold until whoever gets them returns. */
export function useCompiledCiphers(crypto: CryptoModule, padding: Padding): void {
  const { createCipher, createDecipher } = crypto
  const shared = Buffer.allocUnsafeSlow(MAX_PACKET)
  const blocks = new Blocks(MAX_PACKET, MOST_BLOCKS)
  crypto.createCipher = (config) => {
    const cipher = createCipher(config)
    const align = ALIGNMENTS[cipher.constructor.name]
    return align === undefined ? cipher : new CompiledCipher(cipher as CipherState, { align, shared, padding })
  }
  crypto.createDecipher = (config) => {
    const decipher = createDecipher(config)
    const { name } = decipher.constructor
    if (name === 'AESGCMDecipherBinding')
      return new CompiledDecipher(decipher as DecipherState, gcm((decipher as Outer<NativeGcm>)._instance), blocks)
    if (name === 'ChaChaPolyDecipherBinding')
      return new CompiledDecipher(
        decipher as DecipherState,
        chaCha((decipher as Outer<NativeChaCha>)._instance),
        blocks,
      )
    return decipher
  }
}

const ALIGNMENTS: Readonly<Record<string, number>> = { AESGCMCipherBinding: 16, ChaChaPolyCipherBinding: 8 }

type CipherState = Outer<NativeCipher> & { readonly outSeqno: number; readonly _onWrite: (bytes: Buffer) => void }

class CompiledCipher {
  outSeqno: number
  readonly #native: NativeCipher
  readonly #onWrite: (bytes: Buffer) => void
  readonly #align: number
  readonly #shared: Buffer
  readonly #padding: Padding
  #isDead = false

  constructor(
    { _instance, _onWrite, outSeqno }: CipherState,
    parts: { readonly align: number; readonly shared: Buffer; readonly padding: Padding },
  ) {
    this.outSeqno = outSeqno
    this.#native = _instance
    this.#onWrite = _onWrite
    this.#align = parts.align
    this.#shared = parts.shared
    this.#padding = parts.padding
  }

  free(): void {
    this.#isDead = true
    this.#native.free()
  }

  allocPacket(payload: number): Buffer {
    let padding = this.#align - ((1 + payload) & (this.#align - 1))
    if (padding < 4) padding += this.#align
    const length = 1 + payload + padding
    const packet = this.#shared.subarray(0, LENGTH + length + TAG)
    packet.writeUInt32BE(length)
    packet[LENGTH] = padding
    this.#padding.fill(packet, LENGTH + 1 + payload, padding)
    return packet
  }

  encrypt(packet: Buffer): void {
    if (this.#isDead) return
    this.#native.encrypt(packet, this.outSeqno)
    this.#onWrite(packet)
    this.outSeqno = (this.outSeqno + 1) >>> 0
  }
}

/** One of the two ways to read a length and to decipher the rest in place; throws where the tag is wrong. */
type Method = {
  readonly align: number
  length(head: Buffer, seqno: number): number
  open(packet: Buffer, tag: Buffer, seqno: number): void
  free(): void
}

const gcm = (native: NativeGcm): Method => ({
  align: 16,
  length: (head) => head.readUInt32BE(),
  open: (packet, tag) => native.decrypt(packet, packet.length, tag),
  free: () => undefined,
})

const chaCha = (native: NativeChaCha): Method => ({
  align: 8,
  length: (head, seqno) => native.decryptLen(head, seqno),
  open: (packet, tag, seqno) => native.decrypt(packet, tag, seqno),
  free: () => native.free(),
})

type DecipherState = { readonly inSeqno: number; readonly _onPayload: Payload }

export class CompiledDecipher {
  inSeqno: number
  _onPayload: Payload
  readonly #method: Method
  readonly #blocks: Blocks
  /** Of the packet that has begun; undefined until its head is whole. */
  #length: number | undefined
  readonly #head = Buffer.allocUnsafe(LENGTH)
  #headLength = 0
  /** What has come of a packet that was cut. */
  #part: Buffer | undefined
  #partLength = 0

  constructor({ _onPayload, inSeqno }: DecipherState, method: Method, blocks: Blocks) {
    this.inSeqno = inSeqno
    this._onPayload = _onPayload
    this.#method = method
    this.#blocks = blocks
  }

  free(): void {
    this.#method.free()
  }

  /** As ssh2's: returns where somebody else is to go on reading, or undefined at the end. Nothing of `data` is kept. */
  decrypt(data: Buffer, from: number, end: number): number | true | undefined {
    let at = from
    while (at < end) {
      if (this.#length === undefined) {
        while (this.#headLength < LENGTH && at < end) this.#head[this.#headLength++] = data[at++] ?? 0
        if (this.#headLength < LENGTH) return undefined
        this.#length = this.#readLength()
      }
      const total = this.#length + TAG
      let result: number | boolean | undefined
      if (this.#part === undefined && end - at >= total) {
        at += total
        result = this.#open(data.subarray(at - total, at), this.#length)
      } else {
        const part = (this.#part ??= this.#blocks.take())
        const more = Math.min(total - this.#partLength, end - at)
        data.copy(part, this.#partLength, at, at + more)
        at += more
        this.#partLength += more
        if (this.#partLength < total) return undefined
        this.#part = undefined
        this.#partLength = 0
        result = this.#open(part.subarray(0, total), this.#length)
        this.#blocks.release(part)
      }
      if (result !== undefined) return result === false ? at : result
    }
    return undefined
  }

  #readLength(): number {
    const length = this.#method.length(this.#head, this.inSeqno)
    if (length + LENGTH + TAG > MAX_PACKET || length < this.#method.align || length % this.#method.align !== 0)
      throw new MalformedMessage('A packet of an impossible length.')
    return length
  }

  #open(packet: Buffer, length: number): number | boolean | undefined {
    const body = packet.subarray(0, length)
    this.#method.open(body, packet.subarray(length), this.inSeqno)
    const padding = body[0] ?? 0
    if (padding >= length) throw new MalformedMessage('A packet with more padding than bytes.')
    this.inSeqno = (this.inSeqno + 1) >>> 0
    this.#length = undefined
    this.#headLength = 0
    return this._onPayload(body.subarray(1, length - padding))
  }
}
