/**
 * ssh2 1.17.0 knows no certificates: it would take a host certificate's nonce for the key. Here the key inside the certificate is handed to
 * it for the check of the key exchange's signature; whether the certificate itself is good is judged in `host-trust.ts`.
 * Must run before kex.js is loaded.
 */
import { CERTIFICATE_SUFFIX, parseCertificate } from '../certificate.ts'
import type { KeyParserModule } from '../ssh2-types.ts'
import { Reader, string } from '../wire.ts'

export function parseHostCertificates(module: KeyParserModule): void {
  const { parseDERKey } = module
  module.parseDERKey = (data, type) => {
    if (!type.endsWith(CERTIFICATE_SUFFIX)) return parseDERKey(data, type)
    try {
      const certificate = parseCertificate(Buffer.concat([string(type), data]))
      const plain = new Reader(certificate.key.blob)
      const plainType = plain.text()
      return parseDERKey(plain.rest(), plainType)
    } catch (failure) {
      return failure instanceof Error ? failure : new Error('A host certificate that cannot be read.')
    }
  }
}
