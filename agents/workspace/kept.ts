/** Changes of overlays that wait for a second person: their contents in this agent's own directory, until they are applied, thrown away, or too old. */
import { createHash } from 'node:crypto'
import { constants, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { copyFile, mkdir, open, readlink, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { applyChanges } from './applying.ts'
import { type Change, type Changes, type Face, shown } from './changes.ts'
import { contentOf } from './content.ts'
import type { WorkspaceWish } from './wish.ts'

export type KeptChange = {
  readonly path: Buffer
  readonly change: Change['change']
  readonly was: Face | undefined
  readonly is: Face | undefined
  /** Of a file: where its new content is. */
  readonly content: string | undefined
  /** Of a link: where it leads, as bytes. */
  readonly to: Buffer | undefined
}

export type KeepWish = Pick<WorkspaceWish, 'keepMinutes' | 'changesMegabytes'>

export type Kept = {
  /** @throws {Error} with a sentence: these changes cannot be kept. */
  keep(session: string, changes: Changes, wish: KeepWish): Promise<{ readonly digest: string }>
  /** What would be done. Undefined: nothing is kept of that session. */
  show(session: string): Promise<Shown | undefined>
  /** Only what was seen: the digest is that of all that would be done. Each is applied once. */
  apply(session: string, digest: string): Promise<{ readonly done: number; readonly failed: string | undefined }>
  /** Once. @returns whether anything was kept of that session. */
  discard(session: string): Promise<boolean>
  /** All that is kept, without what it is. */
  list(): readonly Listed[]
}

export type Listed = {
  readonly session: string
  readonly digest: string
  readonly expiresAt: number
  readonly changes: number
  /** On our disk. */
  readonly bytes: number
}

export type Shown = {
  readonly digest: string
  readonly expiresAt: number
  readonly entries: readonly Omit<Change, 'raw'>[]
}

type Written = {
  readonly expiresAt: number
  readonly changes: readonly (Pick<Change, 'change' | 'was' | 'is' | 'diff'> & {
    readonly path: string
    readonly content?: string
    readonly to?: string
  })[]
}

const SESSION = /^[0-9a-f-]{36}$/
const SETID = 0o6000
/** Faces, digests, and the names of their fields. */
const LINE = 512
const SWEEP_MS = 60_000

export const NOTHING = 'Nothing is kept there of that session: it was applied, thrown away, or too old.'

/** Of all sessions together, unless the settings say otherwise. */
const MOST_MEGABYTES = 1024

/**
 * Takes away what is too old, and what an earlier agent did not finish.
 * @param megabytes of all sessions together. What would be more is not kept: nobody's changes push out those of others.
 */
export function openKept(directory: string, megabytes = MOST_MEGABYTES): Kept {
  /** Being written just now: session → bytes. */
  const coming = new Map<string, number>()
  const at = (session: string) => join(directory, session)
  const sweep = (): void => {
    for (const name of namesIn(directory)) {
      const kept = readKept(at(name))
      if (kept === undefined || kept.written.expiresAt <= Date.now()) rmSync(at(name), { recursive: true, force: true })
    }
  }
  /** Whoever comes second finds it taken: undefined. */
  const take = async (session: string): Promise<string | undefined> => {
    const taken = join(directory, `${session}.taken`)
    try {
      await rename(at(session), taken)
      return taken
    } catch (failure) {
      if (failure instanceof Error && 'code' in failure && failure.code === 'ENOENT') return undefined
      throw failure
    }
  }
  sweep()
  setInterval(sweep, SWEEP_MS).unref()
  return {
    keep: async (session, changes, { changesMegabytes, keepMinutes }) => {
      const why = whyNot(changes, changesMegabytes * 2 ** 20)
      if (why !== undefined) throw new Error(why)
      const place = at(session)
      const bytes = bytesOf(changes.entries)
      const there = namesIn(directory).filter((name) => !coming.has(name))
      const taken = [...coming.values(), ...there.map((name) => sizeOf(at(name)))].reduce((sum, one) => sum + one, 0)
      if (taken + bytes > megabytes * 2 ** 20)
        throw new Error(
          `This host keeps ${megabytes} MB of changes at most, and others wait there: they have to be applied or discarded first.`,
        )
      coming.set(session, bytes)
      try {
        await mkdir(place, { recursive: true, mode: 0o700 })
        const written: Written = {
          expiresAt: Date.now() + keepMinutes * 60_000,
          changes: await Promise.all(changes.entries.map((entry, n) => copied(entry, join(place, String(n))))),
        }
        const text = JSON.stringify(written)
        await using file = await open(join(place, 'new.json'), 'wx', 0o600)
        await file.writeFile(text)
        await file.sync()
        await rename(join(place, 'new.json'), join(place, 'changes.json'))
        return { digest: digestOf(text) }
      } catch (failure) {
        await rm(place, { recursive: true, force: true })
        throw failure
      } finally {
        coming.delete(session)
      }
    },
    list: () =>
      namesIn(directory).flatMap((session) => {
        const kept = SESSION.test(session) ? readKept(at(session)) : undefined
        if (kept === undefined || kept.written.expiresAt <= Date.now()) return []
        const { changes, expiresAt } = kept.written
        return [{ session, digest: kept.digest, expiresAt, changes: changes.length, bytes: sizeOf(at(session)) }]
      }),
    show: async (session) => {
      const kept = readKept(at(session))
      if (kept === undefined || kept.written.expiresAt <= Date.now()) return undefined
      const { changes, expiresAt } = kept.written
      const entries = changes.map(({ content: _content, path, to: _to, ...change }) => ({
        ...change,
        path: shown(Buffer.from(path, 'latin1')),
      }))
      return { digest: kept.digest, expiresAt, entries }
    },
    apply: async (session, digest) => {
      const place = at(session)
      const kept = readKept(place)
      if (kept === undefined || kept.written.expiresAt <= Date.now()) return { done: 0, failed: NOTHING }
      if (kept.digest !== digest) return { done: 0, failed: 'What is kept here is not what was seen.' }
      const taken = await take(session)
      if (taken === undefined) return { done: 0, failed: NOTHING }
      const changes = kept.written.changes.map(({ path, content, to, change, was, is }) => ({
        path: Buffer.from(path, 'latin1'),
        change,
        was,
        is,
        content: content === undefined ? undefined : join(taken, content),
        to: to === undefined ? undefined : Buffer.from(to, 'latin1'),
      }))
      const outcome = await applyChanges(changes)
      // What did not begin can be tried again.
      if (outcome.done === 0 && outcome.failed !== undefined) await rename(taken, place)
      else await rm(taken, { recursive: true, force: true })
      return outcome
    },
    discard: async (session) => {
      const kept = readKept(at(session))
      if (kept === undefined || kept.written.expiresAt <= Date.now()) return false
      const taken = await take(session)
      if (taken === undefined) return false
      await rm(taken, { recursive: true, force: true })
      return true
    },
  }
}

/** @param most bytes that the workspace could hold: only what is sparse, or linked many times, is larger, and would fill our disk. */
function whyNot({ entries, left }: Changes, most: number): string | undefined {
  if (left > 0) return 'There are too many changes to keep.'
  for (const { is, path, was } of entries) {
    if (is?.kind === 'other') return `${path} is a device, a pipe or a socket.`
    if (is !== undefined && was !== undefined && is.kind !== was.kind) return `${path} became another kind of thing.`
    if (is?.kind === 'file' && is.sha256 === undefined) return `${path} is too large to keep.`
    if (was?.kind === 'file' && was.sha256 === undefined) return `${path} is too large to be compared.`
    if (is !== undefined && is.kind !== 'link' && (is.mode & SETID) !== 0 && is.kind === 'file')
      return `${path} would be a setuid or setgid program.`
  }
  if (entries.reduce((sum, { is }) => sum + (is?.size ?? 0), 0) > most)
    return 'The files are larger than their workspace: sparse ones, or one under many names.'
  return undefined
}

/** About what they take on our disk: contents, and for each its line. */
const bytesOf = (entries: Changes['entries']): number =>
  entries.reduce((sum, { diff = '', is, path }) => sum + (is?.size ?? 0) + diff.length + path.length + LINE, 0)

const sizeOf = (place: string): number =>
  namesIn(place).reduce((sum, name) => sum + (statSync(join(place, name), { throwIfNoEntry: false })?.size ?? 0), 0)

async function copied({ change, diff, is, raw, was }: Change, place: string): Promise<Written['changes'][number]> {
  const path = raw.path.toString('latin1')
  const base = { path, change, ...(was && { was }), ...(is && { is }), ...(diff !== undefined && { diff }) }
  if (is?.kind === 'link')
    return { ...base, to: (await readlink(raw.stored, { encoding: 'buffer' })).toString('latin1') }
  if (is?.kind !== 'file') return base
  await copyFile(raw.stored, place, constants.COPYFILE_EXCL)
  const content = await contentOf(Buffer.from(place), { isOfHost: false })
  if (content?.sha256 !== is.sha256) throw new Error('A content could not be kept.')
  return { ...base, content: place.slice(place.lastIndexOf('/') + 1) }
}

function readKept(place: string): { readonly written: Written; readonly digest: string } | undefined {
  try {
    const text = readFileSync(join(place, 'changes.json'), 'utf8')
    return { written: JSON.parse(text) as Written, digest: digestOf(text) }
  } catch {
    return undefined
  }
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
