/** The paths of the API under its base, one function each. */

const query = (values: Readonly<Record<string, string | undefined>>): string => {
  const set = Object.entries(values).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '',
  )
  return set.length === 0 ? '' : `?${new URLSearchParams(set).toString()}`
}

export const routes = {
  me: '/me',
  signOut: '/sign-out',
  keys: '/keys',
  token: '/token',
  confirmOptions: '/passkeys/confirm/options',
  confirm: '/passkeys/confirm',
  passkeys: '/passkeys',
  webVisits: '/web-visits',
  passkeyOptions: '/passkeys/options',
  passkey: (id: string) => `/passkeys/${encodeURIComponent(id)}`,
  key: (fingerprint: string) => `/keys/${encodeURIComponent(fingerprint)}`,
  targets: '/targets',
  requests: '/requests',
  past: (id: string) => `/requests/${id}/past`,
  approve: (id: string) => `/requests/${id}/approve`,
  deny: (id: string) => `/requests/${id}/deny`,
  withdraw: (id: string) => `/requests/${id}/withdraw`,
  grants: (filter: { readonly state?: string; readonly person?: string; readonly target?: string }) =>
    `/grants${query({ ...filter, limit: '200' })}`,
  story: (id: string) => `/grants/${id}`,
  extend: (id: string) => `/grants/${id}/extend`,
  release: (id: string) => `/grants/${id}/release`,
  revoke: (id: string) => `/grants/${id}/revoke`,
  keptChanges: '/kept-changes',
  kept: (session: string) => `/kept-changes/${session}`,
  applyKept: (session: string) => `/kept-changes/${session}/apply`,
  discardKept: (session: string) => `/kept-changes/${session}/discard`,
  sessions: (filter: {
    readonly person?: string
    readonly target?: string
    readonly protocol?: string
    readonly live?: string
    readonly since?: string
    readonly until?: string
    readonly denied?: string
  }) => `/sessions${query({ ...filter, limit: '200' })}`,
  lastSessions: '/sessions?limit=25',
  session: (id: string) => `/sessions/${id}`,
  cast: (id: string) => `/sessions/${id}/asciicast`,
  search: (wanted: {
    readonly text: string
    readonly person?: string
    readonly target?: string
    readonly since?: string
  }) => `/search${query(wanted)}`,
  files: {
    asciicast: (id: string) => `/sessions/${id}/asciicast?download=1`,
    json: (id: string) => `/sessions/${id}/json`,
    har: (id: string) => `/sessions/${id}/har`,
  },
  audit: (filter: {
    readonly about?: string
    readonly person?: string
    readonly target?: string
    readonly until?: string
  }) => `/audit${query(filter)}`,
  evidence: (id: string) => `/grants/${id}/evidence`,
  events: (id: string, after: number | undefined) =>
    `/sessions/${id}/events?kinds=imxksdf&limit=1000${after === undefined ? '' : `&after=${after}`}`,
  live: (id: string) => `/sessions/${id}/live`,
  kill: (id: string) => `/sessions/${id}/kill`,
  admin: {
    targets: '/admin/targets',
    roles: '/admin/roles',
    people: '/admin/people',
    signOut: (username: string) => `/admin/people/${encodeURIComponent(username)}/sign-out`,
    agents: '/admin/agents',
    revokeAgent: (name: string) => `/admin/agents/${name}/revoke`,
    health: '/admin/health',
    lock: (username: string) => `/identities/${encodeURIComponent(username)}/lock`,
    unlock: (username: string) => `/identities/${encodeURIComponent(username)}/unlock`,
  },
  signIn: (id: string) => `/sign-ins/${id}`,
  answer: (id: string) => `/sign-ins/${id}/answer`,
  touch: (id: string) => `/sign-ins/${id}/passkey`,
  denySignIn: (id: string) => `/sign-ins/${id}/deny`,
  reveal: (id: string) => `/sign-ins/${id}/reveal`,
} as const
