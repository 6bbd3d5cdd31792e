/**
 * In a key exchange the client's order of ciphers counts (RFC 4253 §7.1), and OpenSSH begins with ChaCha20-Poly1305, which costs three times
 * as much CPU as AES-GCM. A client that offered AES-GCM as well is moved to it by new keys, once there is bulk that pays for them.
 */
/* oxlint-disable no-underscore-dangle -- the inside of ssh2 is named so */
import { arm } from './fixes/post-quantum.ts'
import type { KexInit, Protocol } from './ssh2-types.ts'
import { Reader } from './wire.ts'

const FAST = 'aes128-gcm@openssh.com'
/** KEXINIT is a byte and 16 of cookie, then its lists (RFC 4253 §7.1). */
const COOKIE_END = 17
const MAX_LIST = 8 * 1024

export const isChaCha = (cipher: string): boolean => cipher.startsWith('chacha20')

/** Whether a peer with this KEXINIT takes AES-GCM in both directions. @throws {MalformedMessage} */
export function takesFast(kexinit: Buffer): boolean {
  const reader = new Reader(kexinit, COOKIE_END)
  const [, , fromClient, toClient] = [1, 2, 3, 4].map(() => reader.text(MAX_LIST).split(','))
  return fromClient?.includes(FAST) === true && toClient?.includes(FAST) === true
}

/** From the next key exchange on we take nothing else: OpenSSH before 10 would rather have AES-CTR with a MAC of its own, which is slower still. */
export function keepFast(protocol: Protocol, postQuantum: boolean): void {
  const { constructor: Init, lists } = protocol._offer
  protocol._offer = new Init({
    kex: lists.kex.array,
    serverHostKey: lists.serverHostKey.array,
    cs: fast(lists.cs),
    sc: fast(lists.sc),
  })
  if (postQuantum) arm(protocol)
}

const fast = ({ cipher, compress, lang, mac }: KexInit['lists']['cs']) => ({
  cipher: cipher.array.filter((name) => name === FAST),
  mac: mac.array,
  compress: compress.array,
  lang: lang.array,
})
