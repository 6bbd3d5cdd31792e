/** Whether a client holds a key: the signature over this connection, this user name and this algorithm is checked here and nowhere else. */
import { MalformedMessage } from '../../model/refusal.ts'
import {
  authorityOf,
  CERTIFICATE_SUFFIX,
  type Certificate,
  faultOf,
  isCertificateBlob,
  parseCertificate,
} from './certificate.ts'
import type { ProvenKey } from './contract.ts'
import { fingerprintOf, lineOf, type PublicKey, readPublicKey, signatureAlgorithms, verifySignature } from './keys.ts'
import { message, string } from './wire.ts'

/** The fields of a publickey request (RFC 4252 §7). */
export type KeyRequest = {
  readonly username: string
  readonly algorithm: string
  readonly blob: Buffer
  readonly signature: Buffer | undefined
}

export type ProofParts = {
  readonly authorities: readonly PublicKey[]
  readonly now: number
  readonly address: string
}

/** A key that we would take if it were signed with. Says nothing about who holds it. */
export type Offered = { readonly key: PublicKey; readonly certificate: Certificate | undefined; readonly signs: string }

/** Undefined: not a key for us. */
export function readOffer(parts: ProofParts, request: KeyRequest): Offered | undefined {
  try {
    if (!isCertificateBlob(request.blob)) {
      const key = readPublicKey(request.blob)
      return signatureAlgorithms(key.type).includes(request.algorithm)
        ? { key, certificate: undefined, signs: request.algorithm }
        : undefined
    }
    const certificate = parseCertificate(request.blob)
    if (!request.algorithm.endsWith(CERTIFICATE_SUFFIX)) return undefined
    const signs = request.algorithm.slice(0, -CERTIFICATE_SUFFIX.length)
    if (!signatureAlgorithms(certificate.key.type).includes(signs)) return undefined
    const principal = request.username.split(/[:%]/, 1)[0] ?? ''
    const fault = faultOf(certificate, { ...parts, kind: 'user', principal })
    return fault === undefined ? { key: certificate.key, certificate, signs } : undefined
  } catch (failure) {
    if (failure instanceof MalformedMessage) return undefined
    throw failure
  }
}

/** The only maker of a {@link ProvenKey}. */
export function prove(sessionId: Buffer, request: KeyRequest, offered: Offered): ProvenKey | undefined {
  if (request.signature === undefined) return undefined
  const signed = Buffer.concat([string(sessionId), keyRequest(request)])
  if (!verifySignature(offered.key, signed, request.signature, offered.signs)) return undefined
  const { certificate, key } = offered
  return {
    fingerprint: fingerprintOf(key.blob),
    type: key.type,
    line: lineOf(key),
    certificate:
      certificate === undefined
        ? undefined
        : {
            keyId: certificate.keyId,
            serial: certificate.serial,
            principals: certificate.principals,
            validBefore: Number(certificate.validBefore) * 1000,
            authority: authorityOf(certificate),
          },
  }
}

/** What is signed after the session id, in both roles. */
export const keyRequest = (request: Pick<KeyRequest, 'username' | 'algorithm' | 'blob'>): Buffer =>
  message(
    50,
    string(request.username),
    string('ssh-connection'),
    string('publickey'),
    Buffer.from([1]),
    string(request.algorithm),
    string(request.blob),
  )
