/** What we offer in a key exchange. No SHA-1, no CBC, no compression (no bombs), no group exchange (ssh2's server does not have it). */
import { CERTIFICATE_SUFFIX } from './certificate.ts'
import type { Offer } from './ssh2-types.ts'

const KEX = ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256']

const LISTS = {
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes256-ctr',
  ],
  mac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  compress: ['none'],
  lang: [],
}

const HOST_KEYS = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521']

export const serverOffer = (hostKeys: readonly string[]): Offer => ({
  kex: KEX,
  serverHostKey: hostKeys,
  cs: LISTS,
  sc: LISTS,
})

/** Certificates first where a host CA is trusted, then the types that are pinned, so that the host shows what can be checked. */
export const clientOffer = (trust: { readonly hasAuthorities: boolean; readonly types: readonly string[] }): Offer => ({
  kex: KEX,
  serverHostKey: [
    ...(trust.hasAuthorities ? HOST_KEYS.map((type) => type + CERTIFICATE_SUFFIX) : []),
    ...HOST_KEYS,
    'rsa-sha2-512',
    'rsa-sha2-256',
  ].toSorted((a, b) => rank(a, trust.types) - rank(b, trust.types)),
  cs: LISTS,
  sc: LISTS,
})

function rank(algorithm: string, types: readonly string[]): number {
  if (algorithm.endsWith(CERTIFICATE_SUFFIX)) return 0
  return types.includes(algorithm.startsWith('rsa-') ? 'ssh-rsa' : algorithm) ? 1 : 2
}
