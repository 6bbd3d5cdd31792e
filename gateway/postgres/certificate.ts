/** What a client's certificate says, with the verdict of the TLS door on it. */
import type { TLSSocket } from 'node:tls'
import type { ShownCertificate } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'

/** Undefined: none was shown. */
export function shownCertificate(stream: TLSSocket | undefined): ShownCertificate | undefined {
  const shown = stream?.getPeerX509Certificate()
  if (stream === undefined || shown === undefined) return undefined
  const name: unknown = stream.getPeerCertificate().subject?.CN
  const error: unknown = stream.authorizationError
  return {
    fault: stream.authorized ? undefined : typeof error === 'string' ? error : 'UNVERIFIED',
    // Several are an array, and none of them is the name.
    commonName: typeof name === 'string' ? name : undefined,
    alternatives: alternativesOf(shown.subjectAltName ?? ''),
    usages: shown.keyUsage ?? [],
    expiresAt: Date.parse(shown.validTo) as Moment,
    fingerprint256: shown.fingerprint256,
  }
}

/** Node writes `DNS:a, URI:b`, with a name in JSON quotes where it could be mistaken. What is not of that form names nobody. */
export function alternativesOf(text: string): readonly string[] {
  const names: string[] = []
  const entry = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y
  while (entry.lastIndex < text.length) {
    const [, kind, value = ''] = entry.exec(text) ?? []
    if (kind === undefined) return []
    names.push(`${kind}:${value.startsWith('"') ? String(JSON.parse(value)) : value}`)
  }
  return names
}
