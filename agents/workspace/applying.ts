/** Brings kept changes to the host: first everything is compared with what the workspace saw, then each is done at once or not at all. */
import { randomUUID } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { link, lstat, mkdir, open, readdir, rename, rmdir, symlink, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Face, faceOf, isSame, shown } from './changes.ts'
import type { KeptChange } from './kept.ts'
import { Place } from './place.ts'

/** @returns how many were done, and why no more: undefined for all. Never throws. */
export async function applyChanges(
  changes: readonly KeptChange[],
): Promise<{ readonly done: number; readonly failed: string | undefined }> {
  let done = 0
  let at = ''
  try {
    const made = new Set<string>()
    for (const change of changes) {
      at = shown(change.path)
      // What stands in a directory that comes with it cannot be there yet.
      if (!made.has(above(change.path))) await compare(change)
      if (change.is?.kind === 'directory' && change.change === 'added') made.add(change.path.toString('latin1'))
    }
    for (const change of changes) {
      at = shown(change.path)
      await apply(change)
      done += 1
    }
    return { done, failed: undefined }
  } catch (failure) {
    return { done, failed: `${at}: ${failure instanceof Error ? failure.message : 'it failed.'}` }
  }
}

const above = (path: Buffer): string => dirname(path.toString('latin1'))

/** @throws {Error} when it is not as the workspace saw it. */
async function compare({ path, was }: KeptChange): Promise<void> {
  await using place = await Place.at(path)
  await check(place, was)
}

async function check(place: Place, was: KeptChange['was']): Promise<void> {
  const stat = await lstat(place.path).catch(() => undefined)
  if (stat === undefined && was === undefined) return
  if (stat === undefined) throw new Error('it is gone since.')
  if (was === undefined) throw new Error('somebody else made it since.')
  if (!isSame(was, (await faceOf(place.path, stat, false)).face)) throw new Error('it was changed since.')
}

async function apply(change: KeptChange): Promise<void> {
  const { is, path, was } = change
  await using place = await Place.at(path)
  await check(place, was)
  // Awaited here: the place is given up when this function is left.
  if (is === undefined) return await (was?.kind === 'directory' ? rmdir(place.path) : unlink(place.path))
  if (is.kind === 'directory') return await dress(place, was, is)
  const fresh = place.beside(`.sallyport-${randomUUID()}`)
  try {
    // The owner of a link means nothing, and could only be set by its name.
    if (is.kind === 'link') await symlink(change.to ?? Buffer.alloc(0), fresh)
    else await write(change, is, fresh)
    await check(place, was)
    // A link fails where something is; a renaming takes the place of what was compared just now.
    if (was !== undefined) return await rename(fresh, place.path)
    await link(fresh, place.path)
    return await unlink(fresh)
  } catch (failure) {
    await unlink(fresh).catch(() => undefined)
    throw failure
  }
}

/** Owner and mode of a directory, which is made where it is new. What was opened is looked at, not what has its name. */
async function dress(place: Place, was: Face | undefined, is: Face): Promise<void> {
  if (was === undefined) await mkdir(place.path, 0o700)
  await using directory = await open(place.path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  const { gid, mode, uid } = await directory.stat()
  const isExpected =
    was === undefined
      ? uid === process.geteuid?.() && (mode & 0o7777 & ~0o2000) === 0o700 && (await readdir(place.path)).length === 0
      : uid === was.uid && gid === was.gid && (mode & 0o7777) === was.mode
  if (!isExpected) throw new Error('somebody else was there at the same time.')
  await directory.chown(is.uid, is.gid)
  await directory.chmod(is.mode)
}

/** Everything by the one descriptor that made it: a name can be given to something else. */
async function write({ content }: KeptChange, is: Face, fresh: Buffer): Promise<void> {
  if (content === undefined) throw new Error('its content was not kept.')
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  await using file = await open(fresh, flags, 0o600)
  await file.writeFile(createReadStream(content))
  await file.chown(is.uid, is.gid)
  await file.chmod(is.mode)
  await file.sync()
}
