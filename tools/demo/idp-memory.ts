/** The memory of the demo identity provider. It forgets everything when it stops, which is all a demo needs. */
import type { Adapter, AdapterPayload } from 'oidc-provider'

type Kept = { readonly payload: AdapterPayload; readonly until: number }

/** One shelf per kind of thing. */
export function memoryAdapters(): (name: string) => Adapter {
  const shelves = new Map<string, Map<string, Kept>>()
  return (name) => {
    const shelf = shelves.get(name) ?? new Map<string, Kept>()
    shelves.set(name, shelf)
    const alive = (kept: Kept | undefined) => (kept !== undefined && kept.until > Date.now() ? kept.payload : undefined)
    const search = async (is: (payload: AdapterPayload) => boolean) =>
      [...shelf.values()].map(alive).find((payload) => payload !== undefined && is(payload))
    return {
      upsert: async (id, payload, expiresIn) => {
        for (const [other, kept] of shelf) if (alive(kept) === undefined) shelf.delete(other)
        shelf.set(id, { payload, until: expiresIn ? Date.now() + expiresIn * 1000 : Number.POSITIVE_INFINITY })
      },
      find: async (id) => alive(shelf.get(id)),
      findByUid: (uid) => search((payload) => payload.uid === uid),
      findByUserCode: (userCode) => search((payload) => payload.userCode === userCode),
      consume: async (id) => {
        const payload = alive(shelf.get(id))
        if (payload !== undefined) payload['consumed'] = Math.floor(Date.now() / 1000)
      },
      destroy: async (id) => void shelf.delete(id),
      revokeByGrantId: async (grantId) => {
        for (const [id, kept] of shelf) if (kept.payload.grantId === grantId) shelf.delete(id)
      },
    }
  }
}
