/** What the portal asks of postgres/ for SQL in a browser. The portal reads and writes the frames; here they are typed messages. */
import type { GrantId } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import type { RefusalCode } from '../model/refusal.ts'
import type { TargetName } from '../model/target-name.ts'
import type { PageGuest } from './terminals.ts'

/** `rows`: for the screen, as far as it wants to see. Else text of a file, as far as the role allows. */
export type SqlForm = 'rows' | 'csv' | 'json'

export type FromSqlPage =
  /** One at a time; `id` is the page's own number for it. */
  | { readonly kind: 'run'; readonly id: number; readonly sql: string; readonly form: SqlForm }
  /** The page has taken so many batches: as many more may come. */
  | { readonly kind: 'taken'; readonly batches: number }
  | { readonly kind: 'cancel' }

export type SqlColumn = { readonly name: string; readonly type: string }

/** `result` counts the results of one run from 0: a text may hold several statements. */
export type ToSqlPage =
  | {
      readonly kind: 'opened'
      readonly grant: GrantId
      readonly role: string
      readonly expiresAt: Moment
      readonly database: string
      readonly version: string
      readonly isReadOnly: boolean
      /** Rows that a file may have; 0: none may be taken. */
      readonly downloadRows: number
    }
  | {
      readonly kind: 'columns'
      readonly id: number
      readonly result: number
      readonly columns: readonly SqlColumn[]
    }
  | {
      readonly kind: 'batch'
      readonly id: number
      readonly result: number
      readonly rows: readonly (readonly (string | null)[])[]
    }
  /** The next part of a file. */
  | { readonly kind: 'text'; readonly id: number; readonly text: string; readonly rows: number }
  | { readonly kind: 'complete'; readonly id: number; readonly result: number; readonly tag: string }
  | {
      readonly kind: 'error'
      readonly id: number
      readonly code: string
      readonly text: string
      readonly detail: string | undefined
      readonly hint: string | undefined
      /** In the run's text, in characters, from 1. */
      readonly position: number | undefined
    }
  | {
      readonly kind: 'done'
      readonly id: number
      readonly status: 'I' | 'T' | 'E'
      readonly isCut: boolean
      readonly ms: number
    }
  | { readonly kind: 'notice'; readonly text: string; readonly hint: string | undefined }
  | { readonly kind: 'ended'; readonly text: string; readonly next: string | undefined }
  /** Nothing was opened. */
  | {
      readonly kind: 'refused'
      readonly code: RefusalCode | 'FAULT'
      readonly text: string
      readonly next: string | undefined
    }

/** A browser's line. What is sent after its end goes nowhere. */
export type SqlWire = {
  send(message: ToSqlPage): void
  /** After what was sent. */
  close(): void
  onMessage(listener: (message: FromSqlPage) => void): void
  /** Once; also where it is over already. */
  onClose(listener: () => void): void
}

export type SqlAsk = TargetName & {
  readonly database: string | undefined
  readonly passkey: PasskeyProof | undefined
}

export type SqlPages = {
  /** Says on the wire how it went, and closes it in the end. Never throws. */
  open(wire: SqlWire, guest: PageGuest, ask: SqlAsk): void
}
