/** What the portal asks of ssh/ for shells and files in a browser. The portal reads and writes the frames; here they are typed messages. */
import type { Readable } from 'node:stream'
import type { GrantId } from '../model/grant.ts'
import type { Identity, Subject } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import type { RefusalCode } from '../model/refusal.ts'
import type { TargetName } from '../model/target-name.ts'

export type Size = { readonly columns: number; readonly rows: number }

export type FromPage =
  | { readonly kind: 'input'; readonly bytes: Buffer }
  /** So many bytes of output, counted from the shell's first, are on the screen. */
  | { readonly kind: 'drawn'; readonly bytes: number }
  | ({ readonly kind: 'resize' } & Size)
  | { readonly kind: 'signal'; readonly name: string }
  /** The person closed it: nothing is kept. */
  | { readonly kind: 'leave' }

export type ToPage =
  | { readonly kind: 'output'; readonly bytes: Buffer }
  | {
      readonly kind: 'opened'
      /** What brings this browser back; a secret. */
      readonly shell: string
      readonly grant: GrantId
      readonly role: string
      readonly expiresAt: Moment
      /** The output that follows begins at this byte; up to `drawn` it was on a screen before. */
      readonly at: number
      readonly drawn: number
      /** So many bytes of input have arrived. */
      readonly arrived: number
    }
  /** So many bytes of input have been passed on. */
  | { readonly kind: 'taken'; readonly bytes: number }
  | {
      readonly kind: 'notice'
      readonly text: string
      /** Of the grant, where it changed. */
      readonly expiresAt: Moment | undefined
    }
  /** Another window of this browser has taken the shell over. */
  | { readonly kind: 'moved' }
  | {
      readonly kind: 'ended'
      readonly cause: 'closed' | 'exited' | 'cut' | 'failed' | 'refused'
      readonly text: string
      readonly exitCode: number | undefined
    }
  /** Nothing was opened. */
  | {
      readonly kind: 'refused'
      readonly code: RefusalCode | 'FAULT'
      readonly text: string
      readonly next: string | undefined
    }

/** A browser's line. Whole messages in order; what is sent after its end goes nowhere. */
export type PageWire = {
  send(message: ToPage): void
  /** After what was sent. */
  close(): void
  onMessage(listener: (message: FromPage) => void): void
  /** Once; also where it is over already. */
  onClose(listener: () => void): void
}

/** Who comes back: what must be the same as when the shell was opened. */
export type PageClaim = {
  readonly subject: Subject
  /** Of the browser session; worth nothing by itself. */
  readonly seat: string
  readonly address: string
}

export type PageGuest = {
  readonly identity: Identity
  readonly seat: string
  readonly address: string
  /** As it names itself. */
  readonly browser: string
  /** Who is signed in there now; undefined once that is over. `isActive`: the person did something. @throws {Refusal} LOCKED. */
  still(isActive: boolean): Promise<Identity | undefined>
}

/** `passkey`: for a role that asks for one. */
type Wanted = TargetName & { readonly passkey: PasskeyProof | undefined }
export type ShellAsk = Wanted & Size
/** `from`: the first byte of output that the page does not have; undefined: it has nothing, and takes what is kept. */
export type BackAsk = { readonly shell: string; readonly from: number | undefined } & Size
export type FileAsk = Wanted & { readonly path: string }

export type Transferred = { readonly path: string; readonly bytes: number; readonly sha256: string }

export type Terminals = {
  /** Says on the wire how it went, and closes it in the end. Never throws. */
  open(wire: PageWire, guest: PageGuest, ask: ShellAsk): void
  /** The same, for a shell that is kept here or in another worker. */
  back(wire: PageWire, claim: PageClaim, ask: BackAsk): void
  /** Ends every shell of a browser that has signed out. */
  signedOut(seat: string): void
  /** @throws {Refusal} CONFLICT when a file is there and `replace` does not say so. */
  upload(
    guest: PageGuest,
    ask: FileAsk & { readonly replace: boolean },
    bytes: Readable,
    signal: AbortSignal,
  ): Promise<Transferred>
  /** The stream ends early with an error when the session does. `size` as far as the target knows it. */
  download(
    guest: PageGuest,
    ask: FileAsk,
    signal: AbortSignal,
  ): Promise<{ readonly name: string; readonly size: number | undefined; readonly bytes: Readable }>
}
