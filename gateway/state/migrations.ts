/** Numbered SQL files, each applied once, all pending ones in one transaction. */
import { readdir, readFile } from 'node:fs/promises'
import type { Clock } from '../model/moment.ts'
import { Fault } from '../model/refusal.ts'
import type { Statements } from './state.ts'

/** A store that takes several statements at once, under the lock of its only writer. */
export type Migratable = Statements & {
  exclusively<T>(work: (tx: Statements & { script(sql: string): Promise<void> }) => Promise<T>): Promise<T>
}

const FOLDER = new URL('../../config/state/', import.meta.url)
const NAME = /^\d{4}-[a-z0-9-]+\.sql$/

async function known(): Promise<readonly string[]> {
  return (await readdir(FOLDER)).filter((name) => NAME.test(name)).toSorted()
}

const applied = async (store: Statements): Promise<readonly string[]> =>
  (await store.all<{ name: string }>('select name from migrations order by name')).map(({ name }) => name)

/** Safe to call by several processes at once: the second finds nothing to do. */
export async function applyMigrations(store: Migratable, clock: Clock): Promise<void> {
  const scripts = new Map<string, string>()
  for (const name of await known()) scripts.set(name, await readFile(new URL(name, FOLDER), 'utf8'))
  await store.exclusively(async (tx) => {
    await tx.script('create table if not exists migrations (name text primary key, applied_at bigint not null)')
    const done = await applied(tx)
    refuseForeign(done, [...scripts.keys()])
    for (const [name, sql] of scripts) {
      if (done.includes(name)) continue
      await tx.script(sql)
      await tx.run('insert into migrations (name, applied_at) values ($1, $2)', [name, clock.now()])
    }
  })
}

/** @throws {Fault} when a migration is missing, or was applied by a newer program. */
export async function checkMigrations(store: Statements): Promise<void> {
  const names = await known()
  const done = await applied(store)
  refuseForeign(done, names)
  const missing = names.filter((name) => !done.includes(name))
  if (missing.length > 0) throw new Fault(`The state store lacks ${missing.join(', ')}; the supervisor applies them.`)
}

function refuseForeign(done: readonly string[], names: readonly string[]): void {
  const foreign = done.filter((name) => !names.includes(name))
  if (foreign.length > 0)
    throw new Fault(
      `The state store was written by another version of Sallyport: ${foreign.join(', ')} is unknown here.`,
    )
}
