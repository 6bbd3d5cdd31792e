/** Secrets by reference: `env:NAME`, `file:/path`. The value never stands in an error or a log. */
import { open } from 'node:fs/promises'
import { Fault } from '../model/refusal.ts'
import type { SecretRef } from '../model/target.ts'

export type Environment = Readonly<Record<string, string | undefined>>

const MAX_BYTES = 64 * 1024

/** @throws {Fault} naming the reference and what is wrong with it. */
export async function resolveSecret(environment: Environment, ref: SecretRef): Promise<Buffer> {
  const [scheme, rest] = split(ref)
  if (scheme === 'env') {
    const value = environment[rest]
    if (value === undefined || value === '') throw new Fault(`The secret ${ref} is not set.`)
    return Buffer.from(value)
  }
  if (scheme === 'file') return readSecret(ref, rest)
  throw new Fault('A secret must be written as env:NAME or file:/path.')
}

/** Looked at and read through one handle, so that nobody can swap the file in between. */
async function readSecret(ref: SecretRef, path: string): Promise<Buffer> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new Fault(`The secret ${ref} cannot be read.`, { cause })
  })
  try {
    const { mode, size } = await file.stat()
    if ((mode & 0o077) !== 0) throw new Fault(`The secret ${ref} may be read by others; its file must have mode 0600.`)
    if (size > MAX_BYTES) throw new Fault(`The secret ${ref} is longer than ${MAX_BYTES} bytes.`)
    const bytes = await file.readFile()
    if (bytes.length === 0) throw new Fault(`The secret ${ref} is empty.`)
    return bytes
  } finally {
    await file.close()
  }
}

function split(ref: SecretRef): readonly [string, string] {
  const colon = ref.indexOf(':')
  return colon < 0 ? ['', ''] : [ref.slice(0, colon), ref.slice(colon + 1)]
}
