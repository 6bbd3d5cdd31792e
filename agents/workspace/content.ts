/** The content of one regular file: opened without following a link, hashed in pieces, kept as text where it is small and text. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readlink } from 'node:fs/promises'

export type Content = {
  readonly size: number
  /** Left out above {@link MOST_HASHED}. */
  readonly sha256?: string
  /** Left out for what is large or not text. */
  readonly text?: string
}

const MOST_HASHED = 64 * 2 ** 20
const MOST_TEXT = 256 * 1024
const PIECE = 256 * 1024

/** @param isOfHost others may exchange directories for links meanwhile: what is opened must be what was named. Undefined: it cannot be read, or is no file. */
export async function contentOf(
  path: Buffer,
  { isOfHost }: { readonly isOfHost: boolean },
): Promise<Content | undefined> {
  try {
    // Without O_NONBLOCK whoever puts a pipe there would keep us waiting for ever.
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const stat = await file.stat()
    if (!stat.isFile()) return undefined
    if (isOfHost && !(await readlink(`/proc/self/fd/${file.fd}`, { encoding: 'buffer' })).equals(path)) return undefined
    if (stat.size > MOST_HASHED) return { size: stat.size }
    const hash = createHash('sha256')
    const kept: Buffer[] = []
    let size = 0
    for (;;) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(PIECE), 0, PIECE)
      if (bytesRead === 0) break
      size += bytesRead
      if (size > MOST_HASHED) return { size }
      const piece = buffer.subarray(0, bytesRead)
      hash.update(piece)
      if (size <= MOST_TEXT) kept.push(piece)
    }
    const text = size <= MOST_TEXT ? textOf(Buffer.concat(kept)) : undefined
    return { size, sha256: hash.digest('hex'), ...(text !== undefined && { text }) }
  } catch {
    return undefined
  }
}

function textOf(bytes: Buffer): string | undefined {
  if (bytes.includes(0)) return undefined
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? text : undefined
}
