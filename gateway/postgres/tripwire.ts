/**
 * Watches what a target reports about a read-only session. A function that the judge could not look into may have changed a setting
 * that the next statement would profit from; with one group of messages outstanding, that statement has not been sent yet.
 */

const MUST_BE: Readonly<Record<string, string>> = {
  default_transaction_read_only: 'on',
  standard_conforming_strings: 'on',
  client_encoding: 'UTF8',
}

export class Tripwire {
  readonly #authorization: string | undefined
  readonly #superuser: string | undefined

  /** @param reported at the start of the session. */
  constructor(reported: ReadonlyMap<string, string>) {
    this.#authorization = reported.get('session_authorization')
    this.#superuser = reported.get('is_superuser')
  }

  /** Why the session must end, or undefined. */
  changed(name: string, value: string): string | undefined {
    const must =
      name === 'session_authorization' ? this.#authorization : name === 'is_superuser' ? this.#superuser : MUST_BE[name]
    return must === undefined || value === must ? undefined : `the session's ${name} was changed`
  }

  /** What a server reports at the start must be right already. */
  static unsafe(reported: ReadonlyMap<string, string>): string | undefined {
    const wrong = Object.entries(MUST_BE).find(([name, value]) => (reported.get(name) ?? value) !== value)
    return wrong === undefined ? undefined : `the target's ${wrong[0]} is not ${wrong[1]}`
  }
}
