/** What the gateway proves itself with: its host key, and a certificate for the name by which this client reaches it. */
/* oxlint-disable no-underscore-dangle -- the inside of ssh2 is named so */
import { type OwnKeys, issueCertificate } from './authority.ts'
import { CERTIFICATE_SUFFIX } from './certificate.ts'
import type { HostKey } from './ssh2-types.ts'
import type { Transport } from './transport.ts'

const PLAIN = 'ssh-ed25519'
/** Longer than a connection may last between two key exchanges, shorter than a stolen one would be useful. */
const SECONDS = 86_400

export const HOST_KEY_TYPES = [PLAIN + CERTIFICATE_SUFFIX, PLAIN]

/**
 * The certificate names only what this client asked for (the target of -J, else the gateway): a list of all targets would be told to strangers.
 * ssh2 1.17.0 would sign with the certificate's type; the plain one is put in its place at the moment of signing.
 */
export function hostKeysFor(
  keys: OwnKeys,
  names: readonly string[],
  now: () => number,
): (transport: Transport) => Readonly<Record<string, HostKey>> {
  return (transport) => {
    const plain: HostKey = {
      type: PLAIN,
      getPublicSSH: () => keys.host.blob,
      sign: (data) => keys.host.signRaw(data),
    }
    if (names.length === 0) return { [PLAIN]: plain }
    const certificate = issueCertificate(keys.hostAuthority, {
      kind: 'host',
      key: keys.host.blob,
      keyId: 'sallyport',
      principals: names,
      now: now(),
      seconds: SECONDS,
      extensions: [],
    })
    const certified: HostKey = {
      type: PLAIN,
      getPublicSSH: () => certificate,
      sign: (data) => {
        const kex = transport.protocol._kex
        if (kex !== undefined) kex.negotiated = { ...kex.negotiated, serverHostKey: PLAIN }
        return keys.host.signRaw(data)
      },
    }
    return { [PLAIN]: plain, [PLAIN + CERTIFICATE_SUFFIX]: certified }
  }
}
