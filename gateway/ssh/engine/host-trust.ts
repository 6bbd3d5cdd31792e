/** Whether a host is the host: pinned keys, fingerprints, known_hosts, host CAs. "Any" does not exist: a trust without an entry cannot be made. */
import { readFileSync } from 'node:fs'
import { MalformedMessage } from '../../model/refusal.ts'
import type { HostTrust } from '../../model/target.ts'
import { faultOf, isCertificateBlob, parseCertificate } from './certificate.ts'
import { fingerprintOf, HOST_RSA_BITS, type PublicKey, readKeyLine, readPublicKey } from './keys.ts'
import { type KnownHost, knownName, readKnownHosts } from './known-hosts.ts'

export type TrustVerdict =
  | { readonly trusted: true; readonly plainType: string }
  | { readonly trusted: false; readonly why: string }

export type Trust = {
  /** Judges the key or certificate that the host showed. */
  judge(blob: Buffer): TrustVerdict
  /** Key types that are pinned, so that the host is asked for those first. */
  readonly types: readonly string[]
  readonly hasAuthorities: boolean
}

/**
 * @param host as the endpoint names it: principals of host certificates and names in known_hosts are compared with it.
 * @throws {Error} without a single entry, or when a known_hosts file cannot be read.
 */
export function hostTrust(trust: HostTrust, host: string, port: number, now: () => number): Trust {
  const pinned = trust.keys
    .filter((entry) => !entry.startsWith('SHA256:'))
    .map((line) => readKeyLine(line, HOST_RSA_BITS))
  const fingerprints = trust.keys.filter((entry) => entry.startsWith('SHA256:')).map((entry) => entry.trim())
  const name = knownName(host, port)
  const known = trust.knownHosts
    .flatMap((path) => readKnownHosts(readFileSync(path, 'utf8')))
    .filter((entry) => entry.matches(name) || (entry.marker !== 'key' && entry.matches(host.toLowerCase())))
  const keys = [...pinned, ...keysOf(known, 'key')]
  const authorities = [...trust.authorities.map((line) => readKeyLine(line)), ...keysOf(known, 'authority')]
  const revoked = keysOf(known, 'revoked')
  if (keys.length + fingerprints.length + authorities.length === 0)
    throw new Error(`Nothing says which host key ${host} has; it is never taken on trust.`)
  const expected = [...fingerprints, ...keys.map((key) => fingerprintOf(key.blob))]

  const isRevoked = (key: PublicKey) => revoked.some((bad) => bad.blob.equals(key.blob))

  return {
    types: [...new Set(keys.map((key) => key.type))],
    hasAuthorities: authorities.length > 0,
    judge: (blob) => {
      try {
        return isCertificateBlob(blob) ? judgeCertificate(blob) : judgeKey(blob)
      } catch (failure) {
        if (failure instanceof MalformedMessage) return { trusted: false, why: 'It showed a key that cannot be read.' }
        throw failure
      }
    },
  }

  function judgeKey(blob: Buffer): TrustVerdict {
    const key = readPublicKey(blob, HOST_RSA_BITS)
    const shown = fingerprintOf(blob)
    if (isRevoked(key)) return { trusted: false, why: `Its host key ${shown} was revoked.` }
    if (expected.includes(shown)) return { trusted: true, plainType: key.type }
    const wanted = expected.length === 0 ? 'a certificate of a trusted host CA' : expected.join(' or ')
    return { trusted: false, why: `It showed the host key ${shown}; expected was ${wanted}.` }
  }

  function judgeCertificate(blob: Buffer): TrustVerdict {
    const certificate = parseCertificate(blob, HOST_RSA_BITS)
    const plainType = certificate.key.type
    if (isRevoked(certificate.key) || isRevoked(certificate.authority))
      return { trusted: false, why: 'Its host key was revoked.' }
    const need = { kind: 'host', principal: host, authorities, now: now(), address: undefined } as const
    const fault = faultOf(certificate, need)
    if (fault === undefined) return { trusted: true, plainType }
    // A host with a certificate of some other CA may still be pinned by its key.
    if (expected.includes(fingerprintOf(certificate.key.blob))) return { trusted: true, plainType }
    return { trusted: false, why: `Its host certificate is not good: ${fault}` }
  }
}

const keysOf = (known: readonly KnownHost[], marker: KnownHost['marker']): readonly PublicKey[] =>
  known.filter((entry) => entry.marker === marker).map((entry) => entry.key)
