/** Looks for the patterns of a role's alerts in one line. RE2's way: the time grows with the line and never with the pattern's twists. */
import { RE2JS } from 're2js'
import type { AlertRule } from '../model/alert.ts'

/** Longer lines are looked at up to here. */
const MAX_LINE = 4_096

/** @returns the rules that fit, in their order. */
export type AlertFinder = (line: string, source: 'typed' | 'shown') => readonly AlertRule[]

/** @throws for a pattern that RE2 does not know; a configuration that was read has none. */
export function alertFinder(rules: readonly AlertRule[]): AlertFinder {
  const compiled = rules.map((rule) => ({ rule, pattern: RE2JS.compile(rule.pattern) }))
  return (line, source) => {
    const text = line.slice(0, MAX_LINE)
    return compiled.flatMap(({ rule, pattern }) =>
      (source === 'typed' || rule.shown) && pattern.matcher(text).find() ? [rule] : [],
    )
  }
}
