/** Prepared statements and portals of one session: which text is behind a name that an Execute uses. */
import type { Whole } from './frontend.ts'
import type { Judgement } from './judge.ts'

export type Prepared = {
  readonly name: string
  readonly text: string
  readonly judgement: Judgement
  /** The whole Parse, of one that waits for a second person. */
  readonly parse: Buffer | undefined
}
export type Portal = { readonly statement: string; readonly prepared: Prepared | undefined; readonly bind: Whole }

type Undo = () => void

/** A client that prepares more than this is leaking; its oldest names are forgotten here and judged anew when used. */
const MAX_NAMES = 5_000
const MAX_CHARACTERS = 16 * 1024 * 1024

export class Names {
  readonly #statements = new Map<string, Prepared>()
  readonly #portals = new Map<string, Portal>()
  /**
   * Not in the Map: drivers define and forget it with each statement, and whenever a Map is filled up anew its old table points to the new one.
   * Once an old table has outlived a full collection of garbage, all portals since then would be kept until the next.
   */
  #unnamed: Portal | undefined
  #characters = 0

  statement(name: string): Prepared | undefined {
    return this.#statements.get(name)
  }

  portal(name: string): Portal | undefined {
    return name === '' ? this.#unnamed : this.#portals.get(name)
  }

  /** @returns what takes it back, should the server refuse. */
  define(prepared: Prepared): Undo {
    const before = this.#statements.get(prepared.name)
    this.#put(prepared.name, prepared)
    if (this.#statements.size > MAX_NAMES || this.#characters > MAX_CHARACTERS) this.#forgetOldest(prepared.name)
    return () => {
      if (this.#statements.get(prepared.name) === prepared) this.#put(prepared.name, before)
    }
  }

  #forgetOldest(except: string): void {
    for (const [name, { text }] of this.#statements) {
      if (this.#statements.size <= MAX_NAMES && this.#characters <= MAX_CHARACTERS) break
      if (name === except) continue
      this.#statements.delete(name)
      this.#characters -= text.length
    }
  }

  bind(name: string, statement: string, bind: Whole): Undo {
    const before = this.portal(name)
    const portal: Portal = { statement, prepared: this.#statements.get(statement), bind }
    this.#putPortal(name, portal)
    return () => {
      if (this.portal(name) === portal) this.#putPortal(name, before)
    }
  }

  close(what: 'S' | 'P', name: string): Undo {
    if (what === 'P') {
      const portal = this.portal(name)
      this.#putPortal(name, undefined)
      return () => {
        if (portal !== undefined) this.#putPortal(name, portal)
      }
    }
    const prepared = this.#statements.get(name)
    this.#put(name, undefined)
    return () => {
      if (prepared !== undefined) this.#put(name, prepared)
    }
  }

  /** Portals do not outlive their transaction. */
  forgetPortals(): void {
    this.#unnamed = undefined
    if (this.#portals.size > 0) this.#portals.clear()
  }

  #putPortal(name: string, portal: Portal | undefined): void {
    if (name === '') this.#unnamed = portal
    else if (portal === undefined) this.#portals.delete(name)
    else this.#portals.set(name, portal)
  }

  #put(name: string, prepared: Prepared | undefined): void {
    this.#characters -= this.#statements.get(name)?.text.length ?? 0
    // A name that is used again is the newest; the unnamed one is used again all the time.
    if (prepared === undefined || name !== '') this.#statements.delete(name)
    if (prepared === undefined) return
    this.#statements.set(name, prepared)
    this.#characters += prepared.text.length
  }
}
