/** Who may knock: limits on connections that have not signed in. */

const LOOK_EVERY_MS = 50

/** Counts connections that have not signed in yet, in all and by address. */
export class Entrance {
  readonly #most: { readonly all: number; readonly perAddress: number }
  readonly #waiting = new Map<string, number>()
  #all = 0

  constructor(most: { readonly all: number; readonly perAddress: number }) {
    this.#most = most
  }

  /** How to leave again (call it once or more), or undefined when there is no room. */
  enter(address: string): (() => void) | undefined {
    const place = sourceOf(address)
    const here = this.#waiting.get(place) ?? 0
    if (this.#all >= this.#most.all || here >= this.#most.perAddress) return undefined
    this.#all += 1
    this.#waiting.set(place, here + 1)
    let inside = true
    return () => {
      if (!inside) return
      inside = false
      this.#all -= 1
      const left = (this.#waiting.get(place) ?? 1) - 1
      if (left === 0) this.#waiting.delete(place)
      else this.#waiting.set(place, left)
    }
  }
}

/** Room for one connection, for as long as it has not signed in: taken at once, or as soon as somebody leaves. */
export class Doorstep {
  readonly #entrance: Entrance
  readonly #address: string
  #leave: (() => void) | undefined
  #isGone = false

  constructor(entrance: Entrance, address: string) {
    this.#entrance = entrance
    this.#address = address
    this.#leave = entrance.enter(address)
  }

  /** Whether there was room within that time. */
  async room(ms: number): Promise<boolean> {
    for (let left = ms; this.#leave === undefined && !this.#isGone && left > 0; left -= LOOK_EVERY_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
      if (!this.#isGone) this.#leave ??= this.#entrance.enter(this.#address)
    }
    return this.#leave !== undefined
  }

  /** Signed in, or gone. */
  leave(): void {
    this.#isGone = true
    this.#leave?.()
  }
}

/** One person can have a whole IPv6 network of 64 bits; an IPv4 address that came over IPv6 is the same address. */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped !== null) return mapped[1] ?? address
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? []
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const middle =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0')
  return [...groups, ...middle, ...after]
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
    .join(':')
}

/** A deadline that can be moved; `over` runs once when it passes. */
export class Grace {
  readonly #over: () => void
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(ms: number, over: () => void) {
    this.#over = over
    this.extend(ms)
  }

  extend(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#over, ms)
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}
