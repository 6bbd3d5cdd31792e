/** Reading OpenSSH known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), hashed host names included. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { MalformedMessage } from '../../model/refusal.ts'
import { HOST_RSA_BITS, type PublicKey, readKeyLine } from './keys.ts'

export type KnownHost = {
  readonly marker: 'key' | 'authority' | 'revoked'
  readonly matches: (name: string) => boolean
  readonly key: PublicKey
}

/** Lines that cannot be read are passed over, as OpenSSH does: they can only make less trusted, unless they revoke; then this throws. */
export function readKnownHosts(text: string): readonly KnownHost[] {
  const entries: KnownHost[] = []
  for (const line of text.split('\n')) {
    const entry = readLine(line.trim())
    if (entry !== undefined) entries.push(entry)
  }
  return entries
}

/** How OpenSSH writes the host of a connection. */
export const knownName = (host: string, port: number): string =>
  port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`

function readLine(line: string): KnownHost | undefined {
  if (line === '' || line.startsWith('#')) return undefined
  const words = line.split(/\s+/)
  const first = words[0] ?? ''
  const marker = first === '@revoked' ? 'revoked' : first === '@cert-authority' ? 'authority' : 'key'
  if (first.startsWith('@') && marker === 'key') return undefined
  const [hosts = '', type = '', data = ''] = marker === 'key' ? words : words.slice(1)
  try {
    return { marker, matches: matcher(hosts), key: readKeyLine(`${type} ${data}`, HOST_RSA_BITS) }
  } catch (failure) {
    if (marker === 'revoked') throw failure
    if (failure instanceof MalformedMessage) return undefined
    throw failure
  }
}

function matcher(hosts: string): (name: string) => boolean {
  if (hosts.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = hosts.split('|')
    const expected = Buffer.from(hash, 'base64')
    return (name) => {
      const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest()
      return actual.length === expected.length && timingSafeEqual(actual, expected)
    }
  }
  const patterns = hosts.toLowerCase().split(',')
  return (name) => {
    if (patterns.some((pattern) => pattern.startsWith('!') && glob(pattern.slice(1), name))) return false
    return patterns.some((pattern) => !pattern.startsWith('!') && glob(pattern, name))
  }
}

/** `*` and `?` only; linear in pattern and name together, so no file can make it slow. */
function glob(pattern: string, name: string): boolean {
  let [p, n, star, from] = [0, 0, -1, 0]
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p
      from = n
      p += 1
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === name[n])) {
      p += 1
      n += 1
    } else if (star >= 0) {
      from += 1
      n = from
      p = star + 1
    } else return false
  }
  while (pattern[p] === '*') p += 1
  return p === pattern.length
}
