/**
 * ssh2 1.17.0 gives raw keys to createCipheriv for every packet; on Node 24 that prepares the key anew each time and costs about 14 µs.
 * A KeyObject is prepared once. Must run before kex.js is loaded, which keeps the two functions it finds.
 */
import { createSecretKey } from 'node:crypto'
import type { CryptoModule } from '../ssh2-types.ts'

const ENCRYPTING = ['_encKey', '_encKeyMain', '_encKeyPktLen', '_macKey']
const DECRYPTING = ['_decipherKey', '_decKeyMain', '_decKeyPktLen', '_macKey']

export function useKeyObjects(crypto: CryptoModule): void {
  const { createCipher, createDecipher } = crypto
  crypto.createCipher = (config) => prepare(createCipher(config), ENCRYPTING)
  crypto.createDecipher = (config) => prepare(createDecipher(config), DECRYPTING)
}

function prepare(cipher: object, names: readonly string[]): object {
  // The compiled ciphers keep their keys themselves.
  if (Reflect.has(cipher, '_instance')) return cipher
  for (const name of names) {
    const key: unknown = Reflect.get(cipher, name)
    if (Buffer.isBuffer(key)) Reflect.set(cipher, name, createSecretKey(key))
  }
  return cipher
}
