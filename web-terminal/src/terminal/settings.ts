/** What a person has set for their terminals; kept in this browser. */
import { useSyncExternalStore } from 'react'

const KEY = 'sallyport:terminal'
export const SMALLEST = 8
export const LARGEST = 28

export type Settings = {
  readonly fontSize: number
  readonly colours: 'page' | 'dark' | 'light'
  readonly isRead: boolean
  readonly isFast: boolean
}

const DEFAULTS: Settings = { fontSize: 14, colours: 'page', isRead: false, isFast: true }
const listeners = new Set<() => void>()
let current = read()

function read(): Settings {
  try {
    const { fontSize, colours, isRead, isFast } = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>
    return {
      fontSize: typeof fontSize === 'number' ? clamp(fontSize) : DEFAULTS.fontSize,
      colours: colours === 'dark' || colours === 'light' ? colours : DEFAULTS.colours,
      isRead: isRead === true,
      isFast: isFast !== false,
    }
  } catch {
    return DEFAULTS
  }
}

const clamp = (size: number): number => Math.min(LARGEST, Math.max(SMALLEST, Math.round(size)))

export function set(changes: Partial<Settings>): void {
  current = { ...current, ...changes, fontSize: clamp(changes.fontSize ?? current.fontSize) }
  try {
    localStorage.setItem(KEY, JSON.stringify(current))
  } catch {
    // A browser that keeps nothing: they hold until the page is closed.
  }
  for (const listener of listeners) listener()
}

export const settings = (): Settings => current

export const useSettings = (): Settings =>
  useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, settings)
