/** What an SFTP request does to which file. */
import type { FileRecord } from '../../model/event.ts'
import { MalformedMessage } from '../../model/refusal.ts'
import { path, SFTP } from './sftp-frames.ts'
import type { Reader } from './wire.ts'

type Operation = FileRecord['operation']

/** `judged`: asked about before it is sent on. The others only belong to something that was. */
export type FileRequest =
  | { readonly kind: 'open'; readonly operation: 'read' | 'write' | 'list'; readonly path: string }
  | { readonly kind: 'change'; readonly operation: Operation; readonly path: string; readonly to: string | undefined }
  | { readonly kind: 'change-open'; readonly handle: string }
  | { readonly kind: 'look'; readonly path: string }
  | { readonly kind: 'read'; readonly handle: string; readonly offset: bigint }
  | { readonly kind: 'write'; readonly handle: string; readonly offset: bigint; readonly data: Buffer }
  | { readonly kind: 'close'; readonly handle: string }
  | { readonly kind: 'other' }
  | { readonly kind: 'unknown'; readonly name: string }

const READ = 1
/** Extensions that neither read nor change a file's content. */
const HARMLESS = new Set([
  'fsync@openssh.com',
  'statvfs@openssh.com',
  'fstatvfs@openssh.com',
  'limits@openssh.com',
  'expand-path@openssh.com',
  'home-directory',
  'users-groups-by-id@openssh.com',
])

/** The reader stands behind the request's id. @throws {MalformedMessage} */
export function readFileRequest(type: number, reader: Reader): FileRequest {
  switch (type) {
    case SFTP.open: {
      const name = path(reader)
      return { kind: 'open', operation: reader.uint32() === READ ? 'read' : 'write', path: name }
    }
    case SFTP.opendir:
      return { kind: 'open', operation: 'list', path: path(reader) }
    case SFTP.close:
      return { kind: 'close', handle: handle(reader) }
    case SFTP.read:
      return { kind: 'read', handle: handle(reader), offset: reader.uint64() }
    case SFTP.write:
      return { kind: 'write', handle: handle(reader), offset: reader.uint64(), data: reader.string(256 * 1024) }
    case SFTP.lstat:
    case SFTP.stat:
    case SFTP.readlink:
      return { kind: 'look', path: path(reader) }
    case SFTP.fsetstat:
      return { kind: 'change-open', handle: handle(reader) }
    case SFTP.setstat:
      return change('setstat', path(reader))
    case SFTP.remove:
      return change('remove', path(reader))
    case SFTP.mkdir:
      return change('mkdir', path(reader))
    case SFTP.rmdir:
      return change('rmdir', path(reader))
    case SFTP.rename:
      return change('rename', path(reader), path(reader))
    case SFTP.symlink:
      return change('link', path(reader), path(reader))
    case SFTP.fstat:
    case SFTP.readdir:
    case SFTP.realpath:
      return { kind: 'other' }
    case SFTP.extended:
      return readExtension(reader)
    default:
      throw new MalformedMessage(`An SFTP request of type ${type}.`)
  }
}

function readExtension(reader: Reader): FileRequest {
  const name = reader.text(128)
  if (HARMLESS.has(name)) return { kind: 'other' }
  if (name === 'posix-rename@openssh.com') return change('rename', path(reader), path(reader))
  if (name === 'hardlink@openssh.com') return change('link', path(reader), path(reader))
  if (name === 'lsetstat@openssh.com') return change('setstat', path(reader))
  // copy-data would move bytes that nobody sees.
  return { kind: 'unknown', name }
}

const change = (operation: Operation, path: string, to?: string): FileRequest => ({
  kind: 'change',
  operation,
  path,
  to,
})

const handle = (reader: Reader): string => reader.string(256).toString('hex')
