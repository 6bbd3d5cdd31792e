/**
 * ssh2 1.17.0 has no post-quantum key exchange; OpenSSH 10 warns its users about that on every connection. This adds
 * mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex) in both roles: the offer that is sent names it, the list that ssh2 itself
 * chooses from does not, and where both sides want it the fresh curve25519 exchange is turned into the hybrid one.
 * A peer that offers this method and nothing classic fails to connect.
 */
/* oxlint-disable no-underscore-dangle -- the inside of ssh2 is named so */
import * as crypto from 'node:crypto'
import type { Kex, KexInit, Protocol, ProtocolConstructor } from '../ssh2-types.ts'

const NAME = 'mlkem768x25519-sha256'
const KEM_PUBLIC = 1184
const KEM_CIPHERTEXT = 1088
const X25519 = 32
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex')

const armed = new WeakSet<Protocol>()

/** Prepares the class. False where Node has no ML-KEM (before 24.7). */
export function offerPostQuantum(constructor: ProtocolConstructor): boolean {
  const prefix = kemPrefix()
  if (prefix === undefined) return false
  const kept = new WeakMap<Protocol, Kex>()
  Object.defineProperty(constructor.prototype, '_kex', {
    configurable: true,
    get(this: Protocol) {
      return kept.get(this)
    },
    set(this: Protocol, kex: Kex | undefined) {
      if (kex === undefined) kept.delete(this)
      else kept.set(this, kex)
      if (kex !== undefined && armed.has(this)) upgrade(this, kex, prefix)
    },
  })
  return true
}

/** Names the method in the offer of this connection. Call before `start()`. */
export function arm(protocol: Protocol): void {
  const { lists } = protocol._offer
  const { constructor: Init } = protocol._offer
  const offer = new Init({
    kex: [NAME, ...lists.kex.array],
    serverHostKey: lists.serverHostKey.array,
    cs: direction(lists.cs),
    sc: direction(lists.sc),
  })
  offer.lists.kex = { array: lists.kex.array, buffer: offer.lists.kex.buffer }
  protocol._offer = offer
  armed.add(protocol)
}

const direction = (lists: KexInit['lists']['cs']) => ({
  cipher: lists.cipher.array,
  mac: lists.mac.array,
  compress: lists.compress.array,
  lang: lists.lang.array,
})

function kemPrefix(): Buffer | undefined {
  if (typeof crypto.encapsulate !== 'function') return undefined
  try {
    const { publicKey } = crypto.generateKeyPairSync('ml-kem-768')
    return publicKey.export({ type: 'spki', format: 'der' }).subarray(0, -KEM_PUBLIC)
  } catch {
    return undefined
  }
}

function upgrade(protocol: Protocol, kex: Kex, prefix: Buffer): void {
  const remote = firstList(kex._remoteKexinit)
  const mine = [NAME, ...protocol._offer.lists.kex.array]
  const chosen = protocol._server
    ? remote.find((name) => mine.includes(name))
    : mine.find((name) => remote.includes(name))
  if (chosen !== NAME) return
  // ssh2 thinks a first guess of this method was wrong, since its own list does not have it.
  if (remote[0] === NAME) protocol._skipNextInboundPacket = false
  kex.type = NAME
  kex.hashName = 'sha256'
  kex.negotiated = { ...kex.negotiated, kex: NAME }
  kex.convertPublicKey = (key) => key
  kex.generateKeys = () => undefined
  if (protocol._server) serve(kex, prefix)
  else ask(kex)
}

function serve(kex: Kex, prefix: Buffer): void {
  const x25519 = crypto.generateKeyPairSync('x25519')
  let reply = Buffer.alloc(0)
  kex.getPublicKey = () => reply
  kex.computeSecret = (init) =>
    attempt(() => {
      if (init.length !== KEM_PUBLIC + X25519) throw new Error('a key of the wrong length')
      const kem = crypto.createPublicKey({
        key: Buffer.concat([prefix, init.subarray(0, KEM_PUBLIC)]),
        format: 'der',
        type: 'spki',
      })
      const { ciphertext, sharedKey } = crypto.encapsulate(kem)
      reply = Buffer.concat([ciphertext, rawX25519(x25519.publicKey)])
      return combine(sharedKey, agree(x25519.privateKey, init.subarray(KEM_PUBLIC)))
    })
}

function ask(kex: Kex): void {
  const x25519 = crypto.generateKeyPairSync('x25519')
  const kem = crypto.generateKeyPairSync('ml-kem-768')
  const kemPublic = kem.publicKey.export({ type: 'spki', format: 'der' }).subarray(-KEM_PUBLIC)
  const init = Buffer.concat([kemPublic, rawX25519(x25519.publicKey)])
  kex.getPublicKey = () => init
  kex.computeSecret = (reply) =>
    attempt(() => {
      if (reply.length !== KEM_CIPHERTEXT + X25519) throw new Error('a reply of the wrong length')
      const shared = crypto.decapsulate(kem.privateKey, reply.subarray(0, KEM_CIPHERTEXT))
      return combine(shared, agree(x25519.privateKey, reply.subarray(KEM_CIPHERTEXT)))
    })
}

/** ssh2 takes a failure as a value here. */
function attempt(compute: () => Buffer): Buffer | Error {
  try {
    return compute()
  } catch (failure) {
    return failure instanceof Error ? failure : new Error('the key exchange failed')
  }
}

const combine = (kem: Buffer, classic: Buffer): Buffer =>
  crypto.createHash('sha256').update(kem).update(classic).digest()

const rawX25519 = (key: crypto.KeyObject): Buffer => key.export({ type: 'spki', format: 'der' }).subarray(-X25519)

const agree = (privateKey: crypto.KeyObject, raw: Buffer): Buffer =>
  crypto.diffieHellman({
    privateKey,
    publicKey: crypto.createPublicKey({ key: Buffer.concat([X25519_SPKI, raw]), format: 'der', type: 'spki' }),
  })

/** The first name-list of a KEXINIT: byte, 16 bytes of cookie, list. */
const firstList = (kexinit: Buffer): readonly string[] =>
  kexinit.toString('latin1', 21, 21 + kexinit.readUInt32BE(17)).split(',')
