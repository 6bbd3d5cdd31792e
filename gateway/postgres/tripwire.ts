/**
 * Watches what a target reports about a session whose texts have to be read as the judge reads them. A statement, or a function that
 * the judge could not look into, may have changed a setting that the next statement would profit from; with one group of messages
 * outstanding, that statement has not been sent yet.
 */
import type { Role } from '../model/role.ts'
import type { Admission } from '../session/session.ts'

/** How texts are read: otherwise a COMMIT stands where the judge saw the inside of a string. */
const READING: Readonly<Record<string, string>> = {
  standard_conforming_strings: 'on',
  client_encoding: 'UTF8',
}
const READ_ONLY: Readonly<Record<string, string>> = { ...READING, default_transaction_read_only: 'on' }

/** Whether more than the recording depends on how its sessions' texts are read. */
export const isBound = ({ postgres }: Role): boolean =>
  postgres.mode === 'read-only' || postgres.workspace !== undefined

/** Why a text may not follow what the target has reported, or undefined. */
export const misread = (name: string, value: string): string | undefined =>
  (READING[name] ?? value) === value ? undefined : changed(name)

const changed = (name: string): string => `the session's ${name} was changed`

export class Tripwire {
  readonly #isReadOnly: boolean
  readonly #authorization: string | undefined
  readonly #superuser: string | undefined

  /** @param reported at the start of the session. */
  constructor(reported: ReadonlyMap<string, string>, { postgres }: Role) {
    this.#isReadOnly = postgres.mode === 'read-only'
    this.#authorization = reported.get('session_authorization')
    this.#superuser = reported.get('is_superuser')
  }

  /** Why the session must end, or undefined. */
  changed(name: string, value: string): string | undefined {
    if (!this.#isReadOnly) return misread(name, value)
    const must =
      name === 'session_authorization'
        ? this.#authorization
        : name === 'is_superuser'
          ? this.#superuser
          : READ_ONLY[name]
    return must === undefined || value === must ? undefined : changed(name)
  }

  /**
   * What a server reports at the start must be right already. PostgreSQL 13 does not report whether its transactions read only: there a
   * login of the grant's own, which can do nothing but read, has to stand in for the wire.
   */
  static unsafe(reported: ReadonlyMap<string, string>, { role, target }: Admission): string | undefined {
    if (!isBound(role)) return undefined
    const isSilent = !reported.has('default_transaction_read_only') && role.postgres.mode === 'read-only'
    if (isSilent && target.postgres?.credential.kind !== 'provision')
      return "the target's PostgreSQL is older than 14, and its login is not made for this grant alone"
    const wrong = Object.entries(role.postgres.mode === 'read-only' ? READ_ONLY : READING).find(
      ([name, value]) => (reported.get(name) ?? value) !== value,
    )
    return wrong === undefined ? undefined : `the target's ${wrong[0]} is not ${wrong[1]}`
  }
}
