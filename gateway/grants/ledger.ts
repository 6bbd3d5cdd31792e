/** Keeps grants: each step is a compare-and-set together with its events, in one transaction. */
import type { AuditEvent } from '../model/event.ts'
import type { Grant, GrantId } from '../model/grant.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { State, Statements, Value } from '../state/state.ts'
import { type Deed, eventOf, type Outbox } from './outbox.ts'
import { CHANGING, changing, FIXED, fixed, type GrantRow, type Kept, kept } from './rows.ts'

export type Topic = 'grants-changed' | 'sessions-changed'

/** The ledger inside one transaction. */
export type Page = {
  readonly tx: Statements
  readonly now: Moment
  nextId(): Promise<GrantId>
  find(id: GrantId): Promise<Kept | undefined>
  select(condition: string, params: readonly Value[]): Promise<readonly Kept[]>
  /** False when a rule of the table (one waiting request for one thing) forbids it. */
  add(grant: Grant): Promise<boolean>
  /** Begins the whole transaction again when somebody was faster. */
  put(before: Kept, next: Grant): Promise<void>
  tell(deed: Deed): void
  touch(topic: Topic): void
}

/** Somebody changed the grant between our look and our step. */
class Overtaken extends Error {
  override readonly name = 'Overtaken'
}

const TRIES = 5
const ORDER = 'order by number desc'

export type LedgerParts = { readonly state: State; readonly clock: Clock; readonly outbox: Outbox }

export class Ledger {
  readonly #parts: LedgerParts

  constructor(parts: LedgerParts) {
    this.#parts = parts
  }

  find(id: GrantId): Promise<Kept | undefined> {
    return find(this.#parts.state, id)
  }

  /** Newest first. */
  select(condition: string, params: readonly Value[], limit = 1000): Promise<readonly Kept[]> {
    return select(this.#parts.state, `${condition} ${ORDER} limit ${limit}`, params)
  }

  /** What `work` throws undoes everything it did. @throws {Refusal} CONFLICT when others were faster again and again. */
  async write<T>(work: (page: Page) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#once(work)
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error
        if (tries >= TRIES) throw new Refusal('CONFLICT', 'Others changed the same thing at the same time. Try again.')
      }
    }
  }

  async #once<T>(work: (page: Page) => Promise<T>): Promise<T> {
    const { state, clock, outbox } = this.#parts
    const events: AuditEvent[] = []
    const result = await state.tx(async (tx) => {
      const topics = new Set<Topic>()
      const answer = await work({
        tx,
        now: clock.now(),
        nextId: () => nextId(tx),
        find: (id) => find(tx, id),
        select: (condition, params) => select(tx, `${condition} ${ORDER}`, params),
        add: async (grant) => {
          topics.add('grants-changed')
          return add(tx, grant)
        },
        put: async (before, next) => {
          topics.add('grants-changed')
          if (!(await replace(tx, before, next))) throw new Overtaken()
        },
        tell: (deed) => void events.push(eventOf(deed, clock)),
        touch: (topic) => void topics.add(topic),
      })
      for (const event of events) await outbox.put(tx, event)
      for (const topic of [...topics].toSorted())
        await tx.run('update counters set value = value + 1 where name = $1', [topic])
      return answer
    })
    outbox.send(events)
    return result
  }
}

async function find(on: Statements, id: GrantId): Promise<Kept | undefined> {
  return (await select(on, 'id = $1', [id]))[0]
}

async function select(on: Statements, condition: string, params: readonly Value[]): Promise<readonly Kept[]> {
  const columns = ['version', ...FIXED, ...CHANGING].join(', ')
  return (await on.all<GrantRow>(`select ${columns} from grants where ${condition}`, params)).map(kept)
}

async function nextId(tx: Statements): Promise<GrantId> {
  const rows = await tx.all<{ value: number }>(
    "update counters set value = value + 1 where name = 'grant' returning value",
  )
  return String(rows[0]?.value) as GrantId
}

async function add(tx: Statements, grant: Grant): Promise<boolean> {
  const columns = [...FIXED, ...CHANGING]
  const added = await tx.run(
    `insert into grants (version, ${columns.join(', ')}) values (1, ${list(columns.length)}) on conflict do nothing`,
    [...fixed(grant), ...changing(grant)],
  )
  return added === 1
}

async function replace(tx: Statements, before: Kept, next: Grant): Promise<boolean> {
  const settings = CHANGING.map((column, index) => `${column} = $${index + 4}`).join(', ')
  const changed = await tx.run(
    `update grants set version = version + 1, ${settings} where id = $1 and state = $2 and version = $3`,
    [before.grant.id, before.grant.state, before.version, ...changing(next)],
  )
  return changed === 1
}

/** `$3, $4` for two values after two others. */
export const list = (count: number, before = 0): string =>
  Array.from({ length: count }, (_, index) => `$${before + index + 1}`).join(', ')
