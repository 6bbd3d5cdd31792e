/** Ed25519 keys in files: made once, mode 0600, refused when others can read them. */
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import ssh2 from 'ssh2'

export type Key = {
  /** OpenSSH's format. */
  readonly secret: string
  /** `ssh-ed25519 AAAA…` */
  readonly line: string
}

/** In OpenSSH's format. ssh2 1.17.0 writes one key in about 250 so that it cannot read it itself: such a one is not taken. */
export function newKey(): string {
  for (;;) {
    const { private: secret } = ssh2.utils.generateKeyPairSync('ed25519')
    if (!(ssh2.utils.parseKey(secret) instanceof Error)) return secret
  }
}

/** @throws {Error} with a sentence. */
export function ensureKey(path: string): Key {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  if (!existsSync(path)) writeFileSync(path, newKey(), { mode: 0o600, flag: 'wx' })
  const file = openSync(path, 'r')
  try {
    if ((fstatSync(file).mode & 0o077) !== 0)
      throw new Error(`${path} may be read by others; it must have mode 0600, and its key should be made anew.`)
    const secret = readFileSync(file, 'utf8')
    const parsed = ssh2.utils.parseKey(secret)
    if (parsed instanceof Error || parsed.type !== 'ssh-ed25519') throw new Error(`${path} is not an Ed25519 key.`)
    return { secret, line: `${parsed.type} ${parsed.getPublicSSH().toString('base64')}` }
  } finally {
    closeSync(file)
  }
}
