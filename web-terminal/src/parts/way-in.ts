/** What somebody without a live grant can do right here, and the moment when one is there. */
import { useEffect, useRef } from 'react'
import type { GrantView, RoleView, TargetView } from '../../../gateway/portal/schema/access.ts'
import { useAnswer } from '../desk.tsx'
import { routes } from '../routes.ts'

export type WayIn =
  | { readonly kind: 'loading' }
  /** An unknown target and a forbidden one look the same. */
  | { readonly kind: 'none' }
  | { readonly kind: 'waiting'; readonly grant: GrantView; readonly role: RoleView | undefined }
  /** `held`: live ones that the address does not mean. */
  | { readonly kind: 'ask'; readonly target: TargetView; readonly held: readonly GrantView[] }

/** `onGrant` is called with the number of a grant that has become live while somebody looked. */
export function useWayIn(name: string, endpoint: 'postgres' | 'ssh', onGrant: (id: string) => void): WayIn {
  const answer = useAnswer<{ readonly targets: readonly TargetView[] }>(routes.targets)
  const target = answer.state === 'ready' ? answer.data.targets.find((seen) => seen.name === name) : undefined
  const held = target?.grants.filter(({ endpoints, state }) => state === 'live' && endpoints.includes(endpoint)) ?? []
  // One that was live when the gateway said no would say no again.
  const known = useRef<ReadonlySet<string> | undefined>(undefined)
  const isReady = answer.state === 'ready'
  const ids = held.map(({ id }) => id).join(' ')
  useEffect(() => {
    if (!isReady) return
    const live = ids.split(' ').filter(Boolean)
    known.current ??= new Set(live)
    const fresh = live.find((id) => known.current?.has(id) === false)
    if (fresh !== undefined) onGrant(fresh)
  }, [isReady, ids, known, onGrant])
  if (answer.state === 'loading') return { kind: 'loading' }
  if (target === undefined) return { kind: 'none' }
  const waiting = target.grants.find(({ state, extends: more }) => state !== 'live' && more === null)
  if (waiting !== undefined)
    return { kind: 'waiting', grant: waiting, role: target.roles.find((role) => role.name === waiting.role) }
  const roles = target.roles.filter(({ scopes }) => scopes.some((scope) => scope.endpoint === endpoint))
  return roles.length === 0 ? { kind: 'none' } : { kind: 'ask', target: { ...target, roles }, held }
}
