/** One SSH connection's transport (RFC 4253) in either role: whole decrypted messages in, messages out. ssh2 does the cryptography. */
/* oxlint-disable no-underscore-dangle -- the inside of ssh2 is named so */
import type { Duplex } from 'node:stream'
import { MalformedMessage } from '../../model/refusal.ts'
import { isChaCha, keepFast, takesFast } from './bulk-cipher.ts'
import { ChannelStream } from './duplex.ts'
import { arm } from './fixes/post-quantum.ts'
import { CompiledDecipher } from './fixes/compiled-ciphers.ts'
import type { Ssh2 } from './ssh2.ts'
import type { HostKey, Offer, Protocol } from './ssh2-types.ts'
import { message, Reader, string, uint32 } from './wire.ts'

export type TransportParts = {
  readonly ssh2: Ssh2
  readonly stream: Duplex
  readonly ident: string
  readonly offer: Offer
  readonly role:
    | { readonly kind: 'server'; readonly hostKeys: (transport: Transport) => Readonly<Record<string, HostKey>> }
    | { readonly kind: 'client'; readonly verifyHost: (blob: Buffer, transport: Transport) => boolean }
  /** Keys are agreed for the first time. */
  readonly onReady: () => void
  /** Messages from 5 to 7 and from 50 on. Those with data (94, 95) are lent: they hold until the call returns. What it throws ends the connection. */
  readonly onMessage: (message: Buffer) => void
  /** The stream has room again. */
  readonly onDrain: () => void
  /** Once. Undefined: both sides said goodbye. */
  readonly onClose: (cause: Error | undefined) => void
}

/** Beyond this many bytes waiting in the socket nothing more is sent: the peer does not read. */
const MAX_BACKLOG = 1024 * 1024
/** Answers are owed whether there is room or not; a peer that collects so many of them unread is not served any more. */
const MAX_OWED = 8 * 1024 * 1024
/** Copied into pooled memory for next to nothing. */
const SMALL = 4096
const MAX_QUEUED = 10_000
const REKEY_BYTES = 1024 ** 3
/** Who sends or gets this much pays for a cheaper cipher. */
const BULK_BYTES = 1024 ** 2
const REKEY_MS = 3_600_000
const KEEPALIVE_MS = 30_000
const KEEPALIVE_TRIES = 3
const SERVER_SIGNATURES =
  'ssh-ed25519,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256'

/** What ssh2 takes as: this connection is over, read nothing more of what has arrived. */
const STOP = Number.POSITIVE_INFINITY

const DISCONNECT = 1
const BY_APPLICATION = 11
const EXT_INFO = 7
const DATA = 94
const EXTENDED_DATA = 95
const KEEPALIVE = message(80, string('keepalive@openssh.com'), Buffer.from([1]))

export class Transport {
  readonly #parts: TransportParts
  readonly #protocol: Protocol
  readonly #stream: Duplex
  readonly #timers: NodeJS.Timeout[] = []
  #remoteVersion = ''
  #ready = false
  #closed = false
  #turn = 0
  #resting = false
  /** Packets that the socket gets at the end of this tick. */
  #out: Buffer | undefined
  #waiting = 0
  readonly #full: { readonly out: Buffer; readonly length: number }[] = []
  #bytes = 0
  #takesFast = false
  #isSlow = false
  #silence = 0
  /** Bytes of answers since the socket had room last. */
  #owed = 0

  constructor(parts: TransportParts) {
    const { role, ssh2, stream } = parts
    this.#parts = parts
    this.#stream = stream
    this.#protocol = new ssh2.Protocol({
      server: role.kind === 'server',
      ...(role.kind === 'server'
        ? { hostKeys: role.hostKeys(this) }
        : { hostVerifier: (key) => role.verifyHost(key, this) }),
      ident: parts.ident,
      offer: parts.offer,
      onWrite: (bytes) => this.#write(bytes),
      onError: (error) => this.#end(error),
      onHeader: ({ identRaw }) => {
        this.#remoteVersion = identRaw
          .trim()
          .slice('SSH-2.0-'.length)
          .replace(/[^\x20-\x7e]/g, '?')
          .slice(0, 200)
        if (role.kind === 'server' && ssh2.cipherAddon) this.#watchOffer()
      },
      onHandshakeComplete: () => undefined,
      messageHandlers: {},
    })
    if (ssh2.postQuantum) arm(this.#protocol)
    this.#intercept()
    stream.on('error', (error: Error) => this.#end(error))
    stream.on('close', () => this.#end(undefined))
    stream.on('end', () => this.#end(undefined))
    stream.on('drain', () => this.#parts.onDrain())
    ssh2.ready.then(
      () => this.#start(),
      (failure: unknown) => this.#end(failure instanceof Error ? failure : new Error('The ciphers did not load.')),
    )
  }

  get protocol(): Protocol {
    return this.#protocol
  }

  /** The peer's software, printable ASCII. Empty before it said so. */
  get remoteVersion(): string {
    return this.#remoteVersion
  }

  get closed(): boolean {
    return this.#closed
  }

  /** What binds signatures to this connection. */
  get sessionId(): Buffer {
    const id = this.#protocol._kex?.sessionID
    if (id === undefined) throw new Error('No keys are agreed yet.')
    return id
  }

  /** False while the peer does not read from its socket, or lets an agreement on keys wait. */
  get hasRoom(): boolean {
    return !this.#closed && this.#protocol._kexinit === undefined && this.#stream.writableLength < MAX_BACKLOG
  }

  send(payload: Buffer): void {
    if (this.#closed) return
    // Data does not count: many channels that waited for the same thing may all go on at once.
    this.#owed = this.#stream.writableLength < MAX_BACKLOG ? 0 : this.#owed + payload.length
    const { write } = this.#protocol._packetRW
    const at = write.allocStart
    const packet = write.alloc(payload.length)
    packet.set(payload, at)
    this.#sendPacket(write.finalize(packet))
  }

  /** Sends a message whose end is `data`, without copying it twice. */
  sendData(head: Buffer, data: Buffer): void {
    if (this.#closed) return
    const { write } = this.#protocol._packetRW
    const at = write.allocStart
    const packet = write.alloc(head.length + data.length)
    packet.set(head, at)
    packet.set(data, at + head.length)
    this.#sendPacket(write.finalize(packet))
  }

  keepAlive(ms = KEEPALIVE_MS): void {
    this.#every(ms, () => {
      this.#silence += 1
      if (this.#silence > KEEPALIVE_TRIES) this.destroy(new Error('The peer has not answered for a while.'))
      else this.send(KEEPALIVE)
    })
  }

  /** Agrees on new keys. Nothing is lost meanwhile. */
  rekey(): void {
    this.#bytes = 0
    if (!this.#closed && this.#protocol._kexinit === undefined) this.#protocol.rekey()
  }

  /** RFC 4253 §11.1, with the text that ssh2 1.17.0 always leaves empty; the socket is gone after a second at the latest. */
  disconnect(code: number, text: string): void {
    if (this.#closed) return
    if (this.#remoteVersion !== '') this.#urgent(message(DISCONNECT, uint32(code), string(text), string('')))
    this.#flush()
    this.#stream.end()
    const late = setTimeout(() => this.#stream.destroy(), 1000)
    this.#stream.once('close', () => clearTimeout(late))
    this.#end(undefined)
  }

  destroy(cause?: Error): void {
    this.#end(cause)
    this.#stream.destroy()
  }

  #start(): void {
    if (this.#closed) return
    this.#protocol.start()
    this.#stream.on('data', (chunk: Buffer) => this.#read(chunk))
    const readLent = (view: Buffer) => {
      const isLent =
        this.#ready && this.#protocol._kexinit === undefined && this.#protocol._decipher instanceof CompiledDecipher
      this.#read(isLent ? view : Buffer.from(view))
    }
    if (this.#stream instanceof ChannelStream) this.#stream.lend(readLent)
    else this.#parts.ssh2.reads.take(this.#stream, readLent)
    this.#every(REKEY_MS, () => this.rekey())
  }

  #read(chunk: Buffer): void {
    if (this.#closed) return
    this.#silence = 0
    this.#bytes += chunk.length
    this.#rest(chunk.length)
    try {
      this.#protocol.parse(chunk, 0, chunk.length)
    } catch (failure) {
      const error = failure instanceof Error ? failure : new Error('The peer sent what cannot be read.')
      if (error instanceof MalformedMessage) this.disconnect(2, error.message)
      else this.#end(error)
      this.#stream.destroy()
      return
    }
    // Never between what we offered and what is chosen from it.
    if (this.#isSlow && this.#bytes >= BULK_BYTES && this.#protocol._kexinit === undefined) {
      this.#isSlow = false
      keepFast(this.#protocol, this.#parts.ssh2.postQuantum)
      this.rekey()
    } else if (this.#bytes >= REKEY_BYTES) this.rekey()
  }

  #rest(length: number): void {
    this.#turn += length
    if (this.#turn < this.#parts.ssh2.turn() || this.#resting) return
    this.#resting = true
    this.#stream.pause()
    setImmediate(() => {
      this.#resting = false
      this.#turn = 0
      this.#stream.resume()
    })
  }

  #watchOffer(): void {
    const decipher = this.#protocol._decipher
    const inner = decipher._onPayload
    if (inner === undefined) return
    decipher._onPayload = (payload) => {
      if (payload[0] === 20) this.#takesFast = takesFast(payload)
      return inner(payload)
    }
  }

  #intercept(): void {
    const protocol = this.#protocol
    const inner = protocol._onPayload
    protocol._onPayload = (packet) => {
      if (this.#closed) return STOP
      const type = packet[0]
      if (packet.length === 0 || type === undefined) return undefined
      // Data is lent; everything else may be kept for long.
      const payload = type === DATA || type === EXTENDED_DATA ? packet : Buffer.from(packet)
      if (type === 20) return inner(payload)
      if (type === DISCONNECT) {
        this.#end(goodbye(payload))
        return STOP
      }
      // IGNORE, UNIMPLEMENTED, DEBUG
      if (type >= 2 && type <= 4) return undefined
      if (type < 5 || (type > 7 && type < 50)) throw new MalformedMessage(`A message of type ${type} out of place.`)
      this.#parts.onMessage(payload)
      return this.#closed ? STOP : undefined
    }
    const complete = protocol._onHandshakeComplete
    protocol._onHandshakeComplete = (negotiated) => {
      const kex = protocol._kex
      const wantsInfo = kex?.remoteExtInfoEnabled === true
      // ssh2 1.17.0 forgets a comma in this message and offers SHA-1 and DSA; ours follows below.
      if (kex !== undefined) kex.remoteExtInfoEnabled = false
      complete(negotiated)
      if (this.#ready) {
        this.#parts.onDrain()
        return
      }
      this.#ready = true
      const usesChaCha = [negotiated.cs.cipher, negotiated.sc.cipher].some(isChaCha)
      this.#isSlow = usesChaCha && this.#takesFast
      if (protocol._strictMode !== true && usesChaCha) {
        this.disconnect(3, 'This client must support strict key exchange (Terrapin).')
        return
      }
      if (protocol._server && wantsInfo)
        this.send(message(EXT_INFO, uint32(1), string('server-sig-algs'), string(SERVER_SIGNATURES)))
      this.#parts.onReady()
    }
  }

  #sendPacket(packet: Buffer): void {
    // Queued by ssh2 while keys are being agreed.
    this.#parts.ssh2.sendPacket(this.#protocol, packet)
    const queued = this.#protocol._queue?.length ?? 0
    if (queued > MAX_QUEUED || this.#owed > MAX_OWED) this.destroy(new Error('The peer does not read.'))
  }

  #urgent(payload: Buffer): void {
    try {
      const { write } = this.#protocol._packetRW
      const packet = write.alloc(payload.length, true)
      packet.set(payload, write.allocStartKEX)
      this.#protocol._cipher.encrypt(write.finalize(packet, true))
    } catch {
      // Nothing can be said any more; the socket is closed by the caller.
    }
  }

  /** Copied: ciphers write several times per packet, into memory that they use again; one system call takes all of a tick. */
  #write(bytes: Buffer): void {
    if (this.#closed || !this.#stream.writable) return
    this.#bytes += bytes.length
    if (this.#out !== undefined && this.#waiting + bytes.length > this.#out.length) {
      // Not handed on yet: a stream inside another connection makes packets of its own at once, in the memory where this one is being made.
      this.#full.push({ out: this.#out, length: this.#waiting })
      this.#out = undefined
    }
    if (this.#out === undefined) {
      this.#out = this.#parts.ssh2.blocks.take()
      this.#waiting = 0
      if (this.#full.length === 0) process.nextTick(() => this.#flush())
    }
    this.#out.set(bytes, this.#waiting)
    this.#waiting += bytes.length
  }

  #flush(): void {
    const out = this.#out
    const length = this.#waiting
    if (out === undefined) return
    this.#out = undefined
    for (const full of this.#full.splice(0)) this.#hand(full.out, full.length)
    this.#hand(out, length)
  }

  #hand(out: Buffer, length: number): void {
    const { blocks } = this.#parts.ssh2
    // What waits for a slow peer must not hold much more memory than it is long; what nothing waits before leaves at once.
    if (!this.#stream.writable) blocks.release(out)
    else if (length > out.length / 4 || (length > SMALL && this.#stream.writableLength === 0))
      this.#stream.write(out.subarray(0, length), (failure) => {
        if (!failure) blocks.release(out)
      })
    else {
      this.#stream.write(Buffer.from(out.subarray(0, length)))
      blocks.release(out)
    }
  }

  #every(ms: number, run: () => void): void {
    if (this.#closed) return
    const timer = setInterval(run, ms)
    timer.unref()
    this.#timers.push(timer)
  }

  #end(cause: Error | undefined): void {
    if (this.#closed) return
    this.#closed = true
    for (const timer of this.#timers) clearInterval(timer)
    // What was said last must still go out: only a stream that cannot end by itself is destroyed.
    this.#flush()
    if (!this.#stream.writableEnded) this.#stream.end()
    const late = setTimeout(() => this.#stream.destroy(), 1000)
    this.#stream.once('close', () => clearTimeout(late))
    if (this.#stream.destroyed) clearTimeout(late)
    this.#protocol.cleanup()
    this.#parts.onClose(cause)
  }
}

/** RFC 4253 §11.1. Undefined where the peer simply was done. */
function goodbye(payload: Buffer): Error | undefined {
  const reader = new Reader(payload, 1)
  const code = reader.uint32()
  const text = reader.text(1024)
  return code === BY_APPLICATION ? undefined : new Error(text)
}
