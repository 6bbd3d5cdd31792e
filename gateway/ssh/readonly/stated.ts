/** A line of a read-only shell on its way: judge → journal → grant. */
import type { Verdict } from '../../model/statement.ts'
import type { Judged, Session } from '../../session/session.ts'

/** Judge → journal → grant. The number once it may run; undefined when it was refused, after `refuse` was heard. @throws the reason when the session ends instead. */
export function stated(
  session: Session,
  text: string,
  verdict: Verdict,
  refuse: (sentence: string, n: number) => Promise<void>,
  record: Judged['record'] = {},
): Promise<number | undefined> {
  const { ended } = session
  return new Promise((resolve, reject) => {
    const cut = () => reject(ended.reason)
    if (ended.aborted) return cut()
    ended.addEventListener('abort', cut, { once: true })
    const settle = (done: () => void) => {
      ended.removeEventListener('abort', cut)
      done()
    }
    session.road.statement(
      { statement: { kind: 'command', text }, verdict, record },
      (n) => settle(() => resolve(n)),
      (refused, n) =>
        settle(() => {
          refuse(sentenceOf(refused), n).then(() => resolve(undefined), reject)
        }),
    )
  })
}

function sentenceOf(verdict: Verdict): string {
  if (verdict.decision === 'allow') return ''
  const next = verdict.decision === 'deny' && verdict.next !== undefined ? `\n${verdict.next}` : ''
  return `${verdict.reason}${next}\n`
}
