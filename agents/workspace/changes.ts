/**
 * What an overlay's layer holds once nothing runs in it any more: files that were added, changed, deleted, with a diff where they are text.
 * Everything here was made by whoever used the workspace: no symbolic link is followed, nothing special is opened, and all is bounded.
 */
import type { Stats } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { createTwoFilesPatch } from 'diff'
import type { Account } from '../account.ts'
import { type Content, contentOf } from './content.ts'

export type Kind = 'file' | 'directory' | 'link' | 'other'

/** What is, or was, at a path. */
export type Face = {
  readonly kind: Kind
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size?: number
  /** Left out for what is too large to be read. */
  readonly sha256?: string
  /** Of a symbolic link. */
  readonly to?: string
}

export type Change = {
  /** Bytes that are not UTF-8 as `\xNN`. */
  readonly path: string
  readonly change: 'added' | 'changed' | 'deleted'
  readonly was?: Face
  readonly is?: Face
  /** Unified, without its two header lines. */
  readonly diff?: string
  /** Only here: the raw name, and where the new content is. */
  readonly raw: { readonly path: Buffer; readonly stored: Buffer }
}

export type Changes = {
  readonly entries: readonly Change[]
  /** How many more there are, which are not listed. */
  readonly left: number
}

export type Layer = {
  /** Directory with one sub-directory per covered place. */
  readonly layer: string
  /** The root as it was seen in the workspace. */
  readonly merged: string
  readonly covered: readonly string[]
  /** Who used it. */
  readonly account: Reader
}

export type Reader = Pick<Account, 'uid' | 'groups'>

const MOST_ENTRIES = 1000
const MOST_DEPTH = 64
const DIFF_BUDGET = 512 * 1024
const DIFF_MS = 500
const MOST_EDITS = 4000
/** Of one session in all: comparing is not done beside other work. */
const ALL_DIFFS_MS = 2000
/** Of one session in all. What is written sparsely, or linked often, is no larger than its layer and takes hours to read. */
const MOST_READ = 2 ** 30

export async function changesOf({ account, covered, layer, merged }: Layer): Promise<Changes> {
  const entries: Change[] = []
  let left = 0
  let budget = DIFF_BUDGET
  let patience = ALL_DIFFS_MS
  let unread = MOST_READ
  const note = (change: Change) => {
    if (entries.length >= MOST_ENTRIES) left += 1
    else entries.push(change)
  }

  for (const [n, place] of covered.entries()) await walk(Buffer.from(`${layer}/${n}`), Buffer.from(place), true, 0)
  return { entries, left }

  async function walk(stored: Buffer, path: Buffer, hasLower: boolean, depth: number): Promise<void> {
    const names = await namesIn(stored)
    if (names === undefined || depth > MOST_DEPTH) return void (left += 1)
    for (const name of names) await look(below(stored, name), below(path, name), hasLower, depth)
    if (!hasLower) return undefined
    const now = Buffer.concat([Buffer.from(merged), path])
    const seen = new Set((await namesIn(now))?.map((name) => name.toString('latin1')))
    for (const name of (await namesIn(path)) ?? [])
      if (!seen.has(name.toString('latin1')) && (await statOf(below(now, name))) === undefined)
        await gone(below(path, name), depth + 1)
    return undefined
  }

  async function gone(path: Buffer, depth: number): Promise<void> {
    const stat = await statOf(path)
    if (stat === undefined) return
    if (stat.isDirectory()) {
      const names = depth > MOST_DEPTH || entries.length >= MOST_ENTRIES ? undefined : await namesIn(path)
      if (names === undefined) left += 1
      for (const name of names ?? []) await gone(below(path, name), depth + 1)
    }
    if (entries.length >= MOST_ENTRIES) return void (left += 1)
    const was = await seen(path, stat, true)
    const diff = diffOf(was.content, { text: '' })
    note({ path: shown(path), change: 'deleted', was: was.face, ...diff, raw: { path, stored: path } })
  }

  async function look(stored: Buffer, path: Buffer, hasLower: boolean, depth: number): Promise<void> {
    const stat = await statOf(stored)
    if (stat === undefined || isWhiteout(stat)) return
    const lower = hasLower ? await statOf(path) : undefined
    const isDirectory = stat.isDirectory()
    const both = isDirectory && lower?.isDirectory() === true
    if (entries.length >= MOST_ENTRIES && !isDirectory) return void (left += 1)
    const is = await seen(stored, stat, false)
    const was = lower === undefined ? undefined : await seen(path, lower, true)
    if (!isSame(was?.face, is.face)) {
      const diff = diffOf(was?.content ?? { text: '' }, is.content)
      const change = was === undefined ? 'added' : 'changed'
      note({ path: shown(path), change, ...(was && { was: was.face }), is: is.face, ...diff, raw: { path, stored } })
    }
    if (isDirectory) await walk(stored, path, both, depth + 1)
  }

  /** With its text only where the account could have read it: whoever may delete a file need not know what is in it. */
  async function seen(path: Buffer, stat: Stats, isOfHost: boolean): ReturnType<typeof faceOf> {
    const { face, content } = await faceOf(path, stat, isOfHost, unread)
    unread -= content?.sha256 === undefined ? 0 : content.size
    return { face, ...(content && mayRead(account, stat) && { content }) }
  }

  function diffOf(was: Pick<Content, 'text'> | undefined, is: Pick<Content, 'text'> | undefined): { diff?: string } {
    if (was?.text === undefined || is?.text === undefined || was.text === is.text) return {}
    if (budget <= 0 || patience <= 0) return {}
    const options = { context: 3, timeout: DIFF_MS, maxEditLength: MOST_EDITS } as const
    const begun = performance.now()
    const patch = createTwoFilesPatch('', '', was.text, is.text, undefined, undefined, options)
    patience -= performance.now() - begun
    const diff = patch?.replace(/^(?!@@)[^\n]*\n(?:(?!@@)[^\n]*\n)*/, '')
    if (diff === undefined || diff.length > budget) return {}
    budget -= diff.length
    return { diff }
  }
}

const below = (directory: Buffer, name: Buffer): Buffer => Buffer.concat([directory, Buffer.from('/'), name])

/** overlayfs marks what was deleted by a device that nothing can drive. */
const isWhiteout = (stat: Stats): boolean => stat.isCharacterDevice() && stat.rdev === 0

/** Undefined: it cannot be read. */
async function namesIn(directory: Buffer): Promise<readonly Buffer[] | undefined> {
  try {
    return (await readdir(directory, { encoding: 'buffer' })).toSorted((a, b) => a.compare(b))
  } catch {
    return undefined
  }
}

async function statOf(path: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch {
    return undefined
  }
}

/** As the kernel decides it by mode. */
function mayRead({ groups, uid }: Reader, stat: Stats): boolean {
  if (uid === 0) return true
  if (stat.uid === uid) return (stat.mode & 0o400) !== 0
  return (stat.mode & (groups.includes(stat.gid) ? 0o040 : 0o004)) !== 0
}

const kindOf = (stat: Stats): Kind =>
  stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'link' : 'other'

/** @param most larger files are not read. */
export async function faceOf(
  path: Buffer,
  stat: Stats,
  isOfHost: boolean,
  most = Number.POSITIVE_INFINITY,
): Promise<{ face: Face; content?: Content }> {
  const { gid, mode, size, uid } = stat
  const kind = kindOf(stat)
  const face = { kind, mode: mode & 0o7777, uid, gid }
  if (kind === 'link')
    return { face: { ...face, to: shown(await readlink(path, { encoding: 'buffer' }).catch(() => Buffer.alloc(0))) } }
  if (kind !== 'file') return { face }
  const content = size > most ? undefined : await contentOf(path, { isOfHost })
  if (content === undefined) return { face: { ...face, size } }
  return { face: { ...face, size: content.size, ...(content.sha256 && { sha256: content.sha256 }) }, content }
}

export function isSame(was: Face | undefined, is: Face): boolean {
  if (was === undefined || was.kind !== is.kind || was.mode !== is.mode) return false
  if (was.uid !== is.uid || was.gid !== is.gid || was.to !== is.to) return false
  return is.kind !== 'file' || (was.size === is.size && was.sha256 !== undefined && was.sha256 === is.sha256)
}

/** A name as text; what is no UTF-8 stays legible. */
export function shown(name: Buffer): string {
  const text = name.toString()
  if (Buffer.from(text).equals(name)) return text
  return [...name]
    .map((byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`,
    )
    .join('')
}
