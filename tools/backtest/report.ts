/** What would be decided differently, counted by person, statement and reason. */
import type { Verdict } from '../../gateway/model/statement.ts'
import { plain } from '../../gateway/ssh/screen/text.ts'
import type { Judged } from './verdicts.ts'

export type Difference = {
  readonly person: string
  readonly target: string
  readonly kind: string
  /** The newest text of those that are counted together. */
  readonly text: string
  readonly fingerprint: string
  readonly was: Verdict
  readonly now: Verdict
  readonly count: number
}
export type Findings = {
  readonly sessions: number
  readonly judged: number
  readonly differ: readonly Difference[]
  readonly cannot: readonly { readonly why: string; readonly count: number; readonly example: string }[]
}

const SHOWN_TEXT = 300

export class Counting {
  #sessions = 0
  #judged = 0
  readonly #differ = new Map<string, Difference>()
  readonly #cannot = new Map<string, { readonly count: number; readonly example: string }>()

  get judged(): number {
    return this.#judged
  }

  session(): void {
    this.#sessions += 1
  }

  add(who: { readonly username: string; readonly target: string }, { statement, fingerprint, was, now }: Judged): void {
    if (now.kind === 'unknown') {
      const known = this.#cannot.get(now.why)
      this.#cannot.set(now.why, { count: (known?.count ?? 0) + 1, example: known?.example ?? statement.text })
      return
    }
    this.#judged += 1
    const { verdict } = now
    if (verdict.decision === was.decision) return
    const reason = 'reason' in verdict ? verdict.reason : ''
    const key = JSON.stringify([who.username, who.target, fingerprint, was.decision, verdict.decision, reason])
    const count = (this.#differ.get(key)?.count ?? 0) + 1
    const { username: person, target } = who
    const text = statement.text.slice(0, SHOWN_TEXT)
    this.#differ.set(key, { person, target, kind: statement.kind, text, fingerprint, was, now: verdict, count })
  }

  findings(): Findings {
    return {
      sessions: this.#sessions,
      judged: this.#judged,
      differ: [...this.#differ.values()].toSorted((a, b) => a.person.localeCompare(b.person) || b.count - a.count),
      cannot: [...this.#cannot].map(([why, { count, example }]) => ({
        why,
        count,
        example: example.slice(0, SHOWN_TEXT),
      })),
    }
  }
}

const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

const WORDS = { allow: 'allowed', deny: 'refused', hold: 'held for a second person' } as const
const said = (verdict: Verdict): string =>
  verdict.decision === 'allow' ? WORDS.allow : `${WORDS[verdict.decision]}: ${plain(verdict.reason, 400)}`

export function sentences({ sessions, judged, differ, cannot }: Findings): string {
  const lines = differ.flatMap(({ person, target, kind, text, was, now, count }) => [
    `${plain(person, 60)} on ${target}, ${count}×  ${kind}  ${plain(text, SHOWN_TEXT)}`,
    `    was ${said(was)}`,
    `    now ${said(now)}`,
  ])
  for (const { why, count, example } of cannot)
    lines.push(`cannot be judged, ${count}×: ${plain(why, 400)}${example === '' ? '' : ` (${plain(example, 80)})`}`)
  const different = differ.reduce((sum, { count }) => sum + count, 0)
  lines.push(
    `${many(judged, 'statement')} of ${many(sessions, 'session')}: ${different === 0 ? 'nothing' : `${different}`} would be decided differently.`,
  )
  return lines.join('\n')
}
