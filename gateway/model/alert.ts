/** Alerts over the lines of a full shell: an alarm for people who watch, and not a boundary. A shell has endless ways to say the same. */

export type AlertRule = {
  readonly name: string
  /** A regular expression as RE2 reads it: no look-around, no back-references, and so always in linear time. */
  readonly pattern: string
  /** Lines that were shown count too, not only those that were typed: also what came out of the history, and what a program printed. */
  readonly shown: boolean
  /** The session ends. */
  readonly end: boolean
}

/** How the marker of an alert begins in a recording. */
export const ALERT_MARK = 'Alert '
