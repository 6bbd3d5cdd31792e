/** The front of the room for browsers: shells that wait for their browser, and files. Whoever comes in was recognised by the portal. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Subject } from '../../model/identity.ts'
import { Refusal } from '../../model/refusal.ts'
import {
  type Admission,
  admit,
  type BackAsk,
  type PageClaim,
  type PageGuest,
  type PageWire,
  type ShellAsk,
  type Terminals,
} from '../../session/session.ts'
import { denial, noteRefused } from '../deny.ts'
import { spanOf } from '../commands/spans.ts'
import type { SshParts } from '../parts.ts'
import { AWAY_MS, BrowserShell } from './browser-shell.ts'
import { download, upload } from './files.ts'

export type BrowserShellsParts = {
  readonly ssh: SshParts
  readonly worker: number
  /** Leads a browser to the worker that keeps its shell; the wire is closed where there is none. */
  readonly elsewhere: (worker: number, wire: PageWire, claim: PageClaim, ask: BackAsk) => void
  readonly awayMs?: number
}

export type BrowserShells = Terminals & {
  /** Tells everybody, waits at most `graceMs` for shells to end, then ends the rest. */
  close(graceMs: number): Promise<void>
}

const MOST_OF_ONE = 24
const MOST = 400
const MOST_TRANSFERS_OF_ONE = 6
/** How often it is asked whether the browser is still signed in, besides at each change of grants and locks. */
const LOOK_MS = 5_000
const LAST_WORDS_MS = 2_000
const SIGNED_OUT = 'You have signed out.'

type Transfer = { readonly guest: PageGuest; readonly stop: AbortController }
type Kept = { readonly shell: BrowserShell; readonly secret: Buffer; readonly guest: PageGuest }

export function createBrowserShells(parts: BrowserShellsParts): BrowserShells {
  return new House(parts)
}

class House implements BrowserShells {
  readonly #parts: BrowserShellsParts
  readonly #kept = new Map<string, Kept>()
  /** Whose shells are about to open: they count, too. */
  readonly #opening: Subject[] = []
  readonly #transfers = new Set<Transfer>()
  readonly #closing = new AbortController()
  readonly #deaf: () => void
  readonly #looking: NodeJS.Timeout

  constructor(parts: BrowserShellsParts) {
    this.#parts = parts
    this.#deaf = parts.ssh.people.desk.onChange(() => void this.#look())
    this.#looking = setInterval(() => void this.#look(), LOOK_MS)
    this.#looking.unref()
  }

  open(wire: PageWire, guest: PageGuest, ask: ShellAsk): void {
    void this.#open(wire, guest, ask).catch((failure: unknown) => {
      noteRefused(this.#parts.ssh.notes, guest, ask.target, failure)
      this.#refuse(wire, failure)
    })
  }

  back(wire: PageWire, claim: PageClaim, ask: BackAsk): void {
    const [worker = '', id = '', secret = ''] = ask.shell.split('.')
    if (/^\d{1,6}$/.test(worker) && Number(worker) !== this.#parts.worker)
      return this.#parts.elsewhere(Number(worker), wire, claim, ask)
    const kept = this.#kept.get(id)
    // One answer for a shell that is gone and for one that is somebody else's.
    if (kept === undefined || !isOwner(kept, claim, secret))
      return this.#refuse(wire, new Refusal('NOT_FOUND', 'This shell is gone.', { next: 'Open a new one.' }))
    return kept.shell.comeBack(wire, ask.from, claim.address, ask)
  }

  signedOut(seat: string): void {
    this.#end(seat, SIGNED_OUT)
  }

  readonly upload: Terminals['upload'] = async (guest, ask, bytes, gone) => {
    const { signal, done } = this.#begin(guest, gone)
    try {
      return await upload(this.#parts.ssh, { guest, ask, signal, closing: this.#closing.signal }, bytes)
    } finally {
      done()
    }
  }

  readonly download: Terminals['download'] = async (guest, ask, gone) => {
    const { signal, done } = this.#begin(guest, gone)
    try {
      const file = await download(this.#parts.ssh, { guest, ask, signal, closing: this.#closing.signal })
      file.bytes.once('close', done)
      return file
    } catch (failure) {
      done()
      throw failure
    }
  }

  async close(graceMs: number): Promise<void> {
    this.#closing.abort(`[sallyport] The gateway is closing. This session ends in ${spanOf(graceMs)}.`)
    await this.#quiet(graceMs)
    for (const { shell } of this.#kept.values()) shell.end('The gateway is closing.')
    await this.#quiet(LAST_WORDS_MS)
    clearInterval(this.#looking)
    this.#deaf()
  }

  async #open(wire: PageWire, guest: PageGuest, ask: ShellAsk): Promise<void> {
    const { subject } = guest.identity
    const all = [...[...this.#kept.values()].map((kept) => kept.guest.identity.subject), ...this.#opening]
    if (all.filter((other) => other === subject).length >= MOST_OF_ONE || all.length >= MOST)
      throw new Refusal('TOO_MANY', 'Too many shells are open.', { next: 'Close some of them.' })
    this.#opening.push(subject)
    try {
      const { passkey, target, under } = ask
      const wish = { identity: guest.identity, target, under, passkey, protocol: 'ssh' } as const
      const admission = await admit(this.#parts.ssh.road.admit, wish)
      // The browser may have signed out meanwhile.
      const lost = await lostWhy(guest, false)
      if (lost !== undefined) throw new Refusal('NOT_SIGNED_IN', lost, { next: 'Sign in again.' })
      this.#begun(admission, wire, guest, ask)
    } finally {
      this.#opening.splice(this.#opening.indexOf(subject), 1)
    }
  }

  #begun(admission: Admission, wire: PageWire, guest: PageGuest, ask: ShellAsk): void {
    if (this.#closing.signal.aborted) throw new Refusal('UNAVAILABLE', 'The gateway is closing.')
    const { ssh, worker, awayMs = AWAY_MS } = this.#parts
    const id = randomBytes(9).toString('base64url')
    const secret = randomBytes(32).toString('base64url')
    const shell = new BrowserShell(
      {
        ssh,
        guest,
        admission,
        size: ask,
        token: `${worker}.${id}.${secret}`,
        awayMs,
        closing: this.#closing.signal,
        forget: () => this.#kept.delete(id),
      },
      wire,
    )
    this.#kept.set(id, { shell, guest, secret: hashOf(secret) })
  }

  #refuse(wire: PageWire, failure: unknown): void {
    const { log } = this.#parts.ssh.notes
    const denied = denial(failure, log)
    const code = failure instanceof Refusal ? failure.code : 'FAULT'
    wire.send({ kind: 'refused', code, text: denied.sentence, next: denied.next })
    wire.close()
  }

  /** A browser that is signed out, wherever that was done, has no shell any more. */
  async #look(): Promise<void> {
    const guests = new Map([...this.#kept.values(), ...this.#transfers].map(({ guest }) => [guest.seat, guest]))
    for (const [seat, guest] of guests) {
      const shells = [...this.#kept.values()].filter((kept) => kept.guest.seat === seat)
      const why = await lostWhy(guest, shells.filter(({ shell }) => shell.takeActivity()).length > 0)
      if (why !== undefined) this.#end(seat, why)
    }
  }

  #end(seat: string, why: string): void {
    for (const { guest, shell } of this.#kept.values()) if (guest.seat === seat) shell.end(why)
    for (const { guest, stop } of this.#transfers)
      if (guest.seat === seat) stop.abort(new Refusal('NOT_SIGNED_IN', why))
  }

  /** A transfer's place; it ends when `gone` aborts, or its browser is signed out. @throws {Refusal} TOO_MANY */
  #begin(guest: PageGuest, gone: AbortSignal): { readonly signal: AbortSignal; readonly done: () => void } {
    const { subject } = guest.identity
    if (
      [...this.#transfers].filter((other) => other.guest.identity.subject === subject).length >= MOST_TRANSFERS_OF_ONE
    )
      throw new Refusal('TOO_MANY', 'Too many files are on their way.', { next: 'Wait for one of them.' })
    const transfer: Transfer = { guest, stop: new AbortController() }
    this.#transfers.add(transfer)
    return {
      signal: AbortSignal.any([gone, transfer.stop.signal]),
      done: () => this.#transfers.delete(transfer),
    }
  }

  async #quiet(ms: number): Promise<void> {
    const all = Promise.allSettled([...this.#kept.values()].map(({ shell }) => shell.over))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([all, late])
    clearTimeout(timer)
  }
}

/** A store that does not answer says nothing about the browser; grants end by themselves when it is away for too long. */
async function lostWhy(guest: PageGuest, isActive: boolean): Promise<string | undefined> {
  try {
    const identity = await guest.still(isActive)
    return identity?.subject === guest.identity.subject ? undefined : SIGNED_OUT
  } catch (failure) {
    return failure instanceof Refusal && failure.code === 'LOCKED' ? failure.message : undefined
  }
}

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest()

const isOwner = ({ guest, secret }: Kept, claim: PageClaim, given: string): boolean =>
  timingSafeEqual(secret, hashOf(given)) && guest.identity.subject === claim.subject && guest.seat === claim.seat
