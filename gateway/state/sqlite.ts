/** The state store in one SQLite file that several processes share: WAL, an fsync per commit, changes seen by `PRAGMA data_version`. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Fault } from '../model/refusal.ts'
import type { Migratable } from './migrations.ts'
import { explain, isBusy, outOfReach } from './sqlite-errors.ts'
import { SqliteConnection } from './sqlite-connection.ts'
import type { State, Statements, Value } from './state.ts'

export type SqliteParts = { readonly path: string; readonly clock: Clock; readonly log: Log }

const READS = /^\s*select\b/i
/** How often commits of other processes are looked for. */
const POLL_MS = 100
/** How long a statement waits for other writers before it gives up. */
const PATIENCE_MS = 5000
const PAUSE_MS = { least: 2, most: 20 }
const TRIES = Math.ceil((2 * PATIENCE_MS) / (PAUSE_MS.least + PAUSE_MS.most))

/**
 * Two connections: everything that writes goes through one, in a queue, so that nothing slips into somebody else's transaction;
 * reads outside of transactions use the other and see what is committed. Waiting for another process's transaction is done on
 * the event loop, not inside SQLite: a worker must not stand still because its neighbour does.
 */
export function openSqlite(parts: SqliteParts): State & Migratable {
  const { path, clock, log } = parts
  const identity = prepareFile(path)
  const writer = connect(path)
  const reader = connect(path)
  const listeners = new Set<() => void>()
  const inside = new AsyncLocalStorage<{ open: boolean }>()
  let queue: Promise<unknown> = Promise.resolve()
  let contact: Moment = clock.now()
  let version = writer.dataVersion()
  let busy = false
  let inPlace = true
  let silent = false
  let closed = false

  const touch = () => {
    if (inPlace) contact = clock.now()
  }
  const announce = () => {
    for (const listener of listeners) {
      try {
        listener()
      } catch (error) {
        log({ level: 'error', room: 'state', message: 'A listener of state changes failed.', error })
      }
    }
  }

  async function patiently<T>(work: () => T): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      if (closed) throw new Fault('The state store is closed.')
      if (!inPlace) throw outOfReach()
      try {
        const result = work()
        touch()
        return result
      } catch (error) {
        if (!isBusy(error) || tries >= TRIES) throw explain(error)
      }
      await pause(PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least))
    }
  }

  /** One after the other, in the order of the calls. */
  function queued<T>(work: () => Promise<T>): Promise<T> {
    if (inside.getStore()?.open === true)
      return Promise.reject(new Fault('A transaction must not wait for the store outside of itself.'))
    const turn = queue.then(work)
    queue = turn.catch(() => undefined)
    return turn
  }

  const tx = <T>(work: (tx: Statements & { script(sql: string): Promise<void> }) => Promise<T>): Promise<T> =>
    queued(async () => {
      await patiently(() => writer.execute('begin immediate'))
      busy = true
      const before = writer.changes()
      const transaction = { open: true }
      const attempt = async <R>(statement: () => R): Promise<R> => {
        if (!transaction.open) throw new Fault('The transaction is over.')
        try {
          return statement()
        } catch (error) {
          throw explain(error)
        }
      }
      let result: T
      try {
        result = await inside.run(transaction, () =>
          work({
            all: <Row extends object>(sql: string, params: readonly Value[] = []) =>
              attempt(() => writer.all(sql, params) as readonly Row[]),
            run: (sql, params = []) => attempt(() => writer.run(sql, params)),
            script: (sql) => attempt(() => writer.execute(sql)),
          }),
        )
        writer.execute('commit')
        touch()
      } catch (error) {
        writer.rollback()
        throw explain(error)
      } finally {
        transaction.open = false
        busy = false
      }
      if (writer.changes() !== before) announce()
      return result
    })

  const look = () => {
    if (busy) return
    try {
      // A file that was moved away or replaced still answers, but nobody else writes to it any more.
      inPlace = fileIdentity(path) === identity
      if (!inPlace) throw new Error('The file of the state store is not where it was.')
      const seen = writer.dataVersion()
      touch()
      silent = false
      if (seen === version) return
      version = seen
    } catch (error) {
      if (!silent && !isBusy(error))
        log({ level: 'error', room: 'state', message: 'The state store does not answer.', error })
      silent ||= !isBusy(error)
      return
    }
    announce()
  }
  const poll = setInterval(look, POLL_MS)

  return {
    all: <Row extends object>(sql: string, params: readonly Value[] = []) =>
      READS.test(sql)
        ? patiently(() => reader.all(sql, params) as readonly Row[])
        : tx((inner) => inner.all<Row>(sql, params)),
    run: (sql, params = []) =>
      queued(async () => {
        const count = await patiently(() => writer.run(sql, params))
        if (count > 0) announce()
        return count
      }),
    tx,
    exclusively: tx,
    onChange: (listener) => {
      const own = () => listener()
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    health: () => contact,
    close: async () => {
      if (closed) return
      clearInterval(poll)
      await queue
      closed = true
      listeners.clear()
      reader.close()
      writer.close()
    },
  }
}

function prepareFile(path: string): string {
  try {
    // The journal and the shared memory beside it take over the mode of the file.
    if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600))
    chmodSync(path, 0o600)
    return fileIdentity(path)
  } catch (cause) {
    throw new Fault(`The state store ${path} cannot be opened.`, { cause })
  }
}

/** Empty when there is no file. */
function fileIdentity(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? '' : `${found.dev}:${found.ino}`
}

function connect(path: string): SqliteConnection {
  try {
    return new SqliteConnection(new DatabaseSync(path, { timeout: PATIENCE_MS }))
  } catch (cause) {
    throw new Fault(`The state store ${path} cannot be opened.`, { cause })
  }
}
