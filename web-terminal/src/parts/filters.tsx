/** Filters of a table, kept in the address so that a filtered page can be sent to somebody. */
import { type ChangeEvent, useEffect, useState } from 'react'
import { go, useQuery } from '../router.tsx'

const PAUSE_MS = 300
/** What the gateway takes as a name; the rest is left out rather than refused letter by letter. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$/

type Field = {
  readonly value: string
  readonly onChange: (event: ChangeEvent<HTMLInputElement>) => void
  readonly autoComplete: string
  readonly spellCheck: false
}

export type Filters<Name extends string> = {
  readonly values: Readonly<Partial<Record<Name, string>>>
  readonly isSet: boolean
  set(name: Name, value: string): void
  clear(): void
  /** Props of a text field; what is typed is taken over after a short pause. */
  field(name: Name): Field
}

function change(changes: Readonly<Record<string, string>>): void {
  const next = new URLSearchParams(location.search)
  // Another question begins at its newest answer.
  if (!('before' in changes)) next.delete('before')
  for (const [name, value] of Object.entries(changes))
    if (NAME.test(value)) next.set(name, value)
    else next.delete(name)
  const search = next.toString()
  go(location.pathname + (search === '' ? '' : `?${search}`), { replace: true })
}

export function useFilters<const Name extends string>(names: readonly Name[]): Filters<Name> {
  const query = useQuery()
  const [typed, setTyped] = useState<Partial<Record<Name, string>>>({})
  const values: Partial<Record<Name, string>> = {}
  for (const name of names) {
    const value = query.get(name)
    if (value !== null && NAME.test(value)) values[name] = value
  }
  useEffect(() => {
    if (Object.keys(typed).length === 0) return undefined
    const timer = setTimeout(() => {
      change(typed as Readonly<Record<string, string>>)
      setTyped({})
    }, PAUSE_MS)
    return () => clearTimeout(timer)
  }, [typed])
  return {
    values,
    isSet: Object.keys(values).length > 0,
    set: (name, value) => change({ [name]: value }),
    clear: () => go(location.pathname, { replace: true }),
    field: (name) => ({
      value: typed[name] ?? values[name] ?? '',
      onChange: (event) => setTyped({ ...typed, [name]: event.currentTarget.value.trim() }),
      autoComplete: 'off',
      spellCheck: false,
    }),
  }
}
