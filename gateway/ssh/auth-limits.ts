/** Who may knock: limits on connections that have not signed in. */

const LOOK_EVERY_MS = 50

type Place = { readonly source: string; readonly giveUp: () => void }

export type Most = {
  readonly all: number
  readonly perAddress: number
  /** Where everybody has as little, the oldest still makes room: for places that nobody needs for long. */
  readonly newestStay?: boolean
}

/** Counts connections that have not signed in yet, in all and by address. */
export class Entrance {
  readonly #most: Most
  readonly #inside = new Map<string, Set<Place>>()
  #all = 0

  constructor(most: Most) {
    this.#most = most
  }

  /**
   * How to leave again (call it once or more), or undefined when there is no room. When all places are taken, the source that holds most
   * of them loses its oldest: a crowd from a few addresses keeps nobody else out. `giveUp` is called when that place is this one.
   */
  enter(address: string, giveUp: () => void = () => undefined): (() => void) | undefined {
    const source = sourceOf(address)
    const here = this.#inside.get(source)?.size ?? 0
    if (here >= this.#most.perAddress) return undefined
    if (this.#all >= this.#most.all) {
      const oldest = this.#oldestOfCrowd(this.#most.newestStay === true ? here : here + 1)
      if (oldest === undefined) return undefined
      this.#leave(oldest)
      oldest.giveUp()
    }
    const place: Place = { source, giveUp }
    const places = this.#inside.get(source) ?? new Set()
    this.#inside.set(source, places.add(place))
    this.#all += 1
    return () => this.#leave(place)
  }

  /** Of the source that holds most places, if it holds more than `than`. */
  #oldestOfCrowd(than: number): Place | undefined {
    let crowd: ReadonlySet<Place> | undefined
    for (const places of this.#inside.values()) if (places.size > Math.max(than, crowd?.size ?? 0)) crowd = places
    return crowd?.values().next().value
  }

  #leave(place: Place): void {
    const places = this.#inside.get(place.source)
    if (places?.delete(place) !== true) return
    this.#all -= 1
    if (places.size === 0) this.#inside.delete(place.source)
  }
}

/** Room for one connection, for as long as it has not signed in: taken at once, or as soon as somebody leaves. */
export class Doorstep {
  readonly #entrance: Entrance
  readonly #address: string
  readonly #giveUp: () => void
  #leave: (() => void) | undefined
  #isGone = false

  constructor(entrance: Entrance, address: string, giveUp: () => void) {
    this.#entrance = entrance
    this.#address = address
    this.#giveUp = giveUp
    this.#leave = entrance.enter(address, giveUp)
  }

  /** Whether there was room within that time. */
  async room(ms: number): Promise<boolean> {
    for (let left = ms; this.#leave === undefined && !this.#isGone && left > 0; left -= LOOK_EVERY_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
      if (!this.#isGone) this.#leave ??= this.#entrance.enter(this.#address, this.#giveUp)
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
