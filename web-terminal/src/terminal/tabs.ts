/** Which shells are open in this window, and where they stand; kept for a page that is loaded anew. Pure, but for the keeping. */

import type { Place } from '../place.ts'

/** `token`: the secret that brings this browser back; undefined while nothing is open. */
type Tab = Place & { readonly key: string; readonly token: string | undefined }
type Side = 'left' | 'right'
export type Tabs = {
  readonly all: readonly Tab[]
  readonly left: string
  /** Undefined: one at a time. */
  readonly right: string | undefined
  readonly side: Side
}

const KEY = 'sallyport:shells'
export const MOST_TABS = 12

const newTab = ({ target, under }: Place): Tab => ({ key: crypto.randomUUID(), target, under, token: undefined })

export const focused = (tabs: Tabs): string => (tabs.side === 'right' ? tabs.right : undefined) ?? tabs.left

export const isShown = (tabs: Tabs, key: string): boolean => tabs.left === key || tabs.right === key

/** In the place where the person is, or where it stands already. */
export function shown(tabs: Tabs, key: string): Tabs {
  if (tabs.right === key) return { ...tabs, side: 'right' }
  if (tabs.left === key) return { ...tabs, side: 'left' }
  return tabs.side === 'right' && tabs.right !== undefined
    ? { ...tabs, right: key }
    : { ...tabs, left: key, side: 'left' }
}

export function opened(tabs: Tabs, place: Place): Tabs {
  if (tabs.all.length >= MOST_TABS) return tabs
  const tab = newTab(place)
  return shown({ ...tabs, all: [...tabs.all, tab] }, tab.key)
}

/** Another shell beside the one in front. */
export function split(tabs: Tabs): Tabs {
  const left = focused(tabs)
  const other = tabs.all.find(({ key }) => key !== left)
  if (other !== undefined) return { ...tabs, left, right: other.key, side: 'right' }
  const tab = newTab(tabs.all.find(({ key }) => key === left) ?? { target: '', under: undefined })
  return { all: [...tabs.all, tab], left, right: tab.key, side: 'right' }
}

export const unsplit = (tabs: Tabs): Tabs => ({ ...tabs, left: focused(tabs), right: undefined, side: 'left' })

/** Undefined when it was the last one. */
export function closed(tabs: Tabs, key: string): Tabs | undefined {
  const at = tabs.all.findIndex((tab) => tab.key === key)
  const all = tabs.all.filter((tab) => tab.key !== key)
  const next = all[Math.min(at, all.length - 1)]
  if (next === undefined) return undefined
  if (tabs.right === key) return { all, left: tabs.left, right: undefined, side: 'left' }
  if (tabs.left !== key) return { ...tabs, all }
  if (tabs.right !== undefined) return { all, left: tabs.right, right: undefined, side: 'left' }
  return { all, left: next.key, right: undefined, side: 'left' }
}

export const withToken = (tabs: Tabs, key: string, token: string | undefined): Tabs => ({
  ...tabs,
  all: tabs.all.map((tab) => (tab.key === key && tab.token !== token ? { ...tab, token } : tab)),
})

/** What was open in this window before, with the wanted place in front. */
export function recalled(place: Place): Tabs {
  const kept = read()
  const tab = kept?.all.find(
    ({ target, under }) => target === place.target && (place.under === undefined || under === place.under),
  )
  if (kept !== undefined)
    return tab === undefined ? opened(kept, place) : isShown(kept, tab.key) ? kept : shown(kept, tab.key)
  const first = newTab(place)
  return { all: [first], left: first.key, right: undefined, side: 'left' }
}

export function keep(tabs: Tabs | undefined): void {
  try {
    if (tabs === undefined) sessionStorage.removeItem(KEY)
    else sessionStorage.setItem(KEY, JSON.stringify(tabs))
  } catch {
    // A browser that keeps nothing: a page that is loaded anew begins with a new shell.
  }
}

function read(): Tabs | undefined {
  try {
    const tabs = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Tabs | null
    // A shell that is over has no token, and would only say so again.
    const all = tabs?.all.filter(({ token }) => token !== undefined) ?? []
    const [first] = all
    if (tabs === null || first === undefined) return undefined
    const has = (key: string | undefined) => all.some((tab) => tab.key === key)
    const left = has(tabs.left) ? tabs.left : first.key
    const right = has(tabs.right) && tabs.right !== left ? tabs.right : undefined
    return { all, left, right, side: right === undefined ? 'left' : tabs.side }
  } catch {
    return undefined
  }
}
