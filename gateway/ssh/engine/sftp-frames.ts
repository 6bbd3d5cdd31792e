/** SFTP version 3 (draft-ietf-secsh-filexfer-02) as far as it must be read to know which file is touched how. */
import { MalformedMessage } from '../../model/refusal.ts'
import { message, type Reader, string, uint32 } from './wire.ts'

/** OpenSSH's own limit of a message, and some room for its head. */
const MAX_FRAME = 256 * 1024 + 1024

export const SFTP = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  extended: 200,
} as const

/** SSH_FX_PERMISSION_DENIED, SSH_FX_OP_UNSUPPORTED. */
export const DENIED = 3
export const UNSUPPORTED = 8

/** Cuts a stream into whole frames; what is not complete waits. Each frame keeps its exact bytes, its length field first. */
export class Frames {
  #parts: Buffer[] = []
  #length = 0
  #need = 4;

  *push(chunk: Buffer): Generator<Buffer> {
    this.#parts.push(chunk)
    this.#length += chunk.length
    while (this.#length >= this.#need) {
      const all = this.#parts.length === 1 ? (this.#parts[0] ?? chunk) : Buffer.concat(this.#parts)
      const length = all.readUInt32BE()
      if (length < 1 || length > MAX_FRAME) throw new MalformedMessage('An SFTP message of an impossible length.')
      const end = 4 + length
      this.#parts = [all]
      this.#need = end
      if (all.length < end) return
      this.#parts = all.length > end ? [all.subarray(end)] : []
      this.#length = all.length - end
      this.#need = 4
      yield all.subarray(0, end)
    }
  }
}

export const status = (id: number, code: number, text: string): Buffer =>
  string(message(SFTP.status, uint32(id), uint32(code), string(text), string('')))

/** Paths are bytes to SFTP; for people they are read as UTF-8. */
export const path = (reader: Reader): string => reader.string(4096).toString('utf8')
