/** The log is a function that takes an event. What is logged is for operators; what is recorded is for auditors. Never a secret in either. */

export type LogEvent = {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  /** The room that speaks. */
  readonly room: string
  /** One sentence without data in it; data goes into `details`, so that user text can never forge a line. */
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>>
  readonly error?: unknown
}

export type Log = (event: LogEvent) => void

export const silent: Log = () => undefined
