/** A COMMIT in a workspace that a second person let through: what was done so far stays after all. */
import { Refusal } from '../model/refusal.ts'
import { isPermit, type Permit } from '../session/session.ts'
import { cstring, message } from './message.ts'
import { totalOf, type Touched } from './touched.ts'
import type { Workspace } from './workspace.ts'
import { NotRun, notRun, type Ran, type Runner, type Wanted } from './writer.ts'

const TOO_MUCH = 'this session has run more than a second person can read: connect again, and do only what is to stay'

export class Keeper implements Runner {
  readonly #workspace: Workspace
  readonly database: string

  constructor(workspace: Workspace, database: string) {
    this.#workspace = workspace
    this.database = database
  }

  /** In place of a plan: what was touched, and by which texts. */
  async explain(): Promise<{ readonly plan: string; readonly rows: number }> {
    const { texts } = this.#workspace
    if (texts === undefined) throw notRun('54000', TOO_MUCH)
    const touched = await this.#touched()
    const plan = [
      'Rows touched so far, what was undone in between included:',
      ...touched.map(([table, i, u, d]) => `  ${table}: ${i} inserted, ${u} updated, ${d} deleted`),
      'Run since the session began:',
      ...texts.map((text) => `  ${text}`),
    ]
    return { plan: plan.join('\n'), rows: totalOf(touched) }
  }

  async run(permit: Permit, { mostRows }: Wanted, over: () => Refusal | undefined): Promise<Ran> {
    if (!isPermit(permit)) throw new TypeError('a permit that nobody gave')
    await this.#workspace.endStep()
    let kept: Touched = []
    const look = (touched: Touched) => {
      const total = totalOf(touched)
      if (total > mostRows)
        throw notRun('54000', `COMMIT would keep ${total} touched rows, and ${mostRows} is the most: nothing was kept`)
      const ended = over()
      if (ended !== undefined) throw ended
      kept = touched
    }
    try {
      await this.#workspace.keep(look)
    } catch (failure) {
      if (failure instanceof NotRun || failure instanceof Refusal) throw failure
      throw notRun('25P02', failure instanceof Error ? failure.message : 'the target did not commit')
    }
    return {
      answer: [message('C', cstring('COMMIT'))],
      tag: 'COMMIT',
      rows: kept.map(([table, i, u, d]) => [table, i + u + d] as const),
    }
  }

  async #touched(): Promise<Touched> {
    try {
      return await this.#workspace.touched()
    } catch {
      throw notRun('54000', 'it cannot be told what this session has touched, so nobody can let it stay')
    }
  }

  /** To the client the transaction is over; what it did stays in the workspace, and goes with it. */
  leave(): Promise<void> {
    return this.#workspace.endStep()
  }
}
