/** Who may call what: one row per route. A route that is not here cannot be registered. */

/**
 * - `public`: nobody has to be signed in; shows nothing of anybody.
 * - `person`: whoever is signed in, about themselves only.
 * - `desk`: signed in; the access desk (of kept changes: theirs) judges the object.
 * - `question`: signed in; identity judges whether the waiting sign-in is this person's.
 * - `session`: signed in, and `maySeeSession` for the session named by `:id`; anything else is "not found".
 * - `oversight`: signed in, and an auditor or an administrator.
 * - `admin`: signed in and an administrator.
 */
export type Policy = 'public' | 'person' | 'desk' | 'question' | 'session' | 'oversight' | 'admin'

const routes = {
  'GET /api/v1/openapi.json': 'public',
  'GET /api/v1/me': 'person',
  'POST /api/v1/sign-out': 'person',
  'GET /api/v1/keys': 'person',
  'DELETE /api/v1/keys/:fingerprint': 'person',
  'GET /api/v1/passkeys': 'person',
  'POST /api/v1/passkeys/options': 'person',
  'POST /api/v1/passkeys': 'person',
  'DELETE /api/v1/passkeys/:id': 'person',
  'POST /api/v1/passkeys/confirm/options': 'person',
  'POST /api/v1/passkeys/confirm': 'person',
  'GET /api/v1/token': 'person',
  'POST /api/v1/token': 'person',
  'DELETE /api/v1/token': 'person',
  'GET /api/v1/changes': 'person',

  'GET /api/v1/targets': 'desk',
  'POST /api/v1/requests': 'desk',
  'GET /api/v1/requests': 'desk',
  'GET /api/v1/requests/:id/past': 'desk',
  'POST /api/v1/requests/:id/approve': 'desk',
  'POST /api/v1/requests/:id/deny': 'desk',
  'POST /api/v1/requests/:id/withdraw': 'desk',
  'GET /api/v1/grants': 'desk',
  'GET /api/v1/grants/:id': 'desk',
  'GET /api/v1/grants/:id/evidence': 'desk',
  'POST /api/v1/grants/:id/extend': 'desk',
  'POST /api/v1/grants/:id/release': 'desk',
  'POST /api/v1/grants/:id/revoke': 'desk',
  'GET /api/v1/sessions': 'desk',
  'GET /api/v1/search': 'desk',
  'POST /api/v1/sessions/:id/kill': 'desk',
  'GET /api/v1/kept-changes': 'desk',
  'GET /api/v1/kept-changes/:id': 'desk',
  'POST /api/v1/kept-changes/:id/apply': 'desk',
  'POST /api/v1/kept-changes/:id/discard': 'desk',
  'PUT /api/v1/terminal/file': 'desk',
  'GET /api/v1/terminal/file': 'desk',
  'POST /api/v1/web-visits': 'desk',

  'GET /api/v1/sessions/:id': 'session',
  'GET /api/v1/sessions/:id/asciicast': 'session',
  'GET /api/v1/sessions/:id/har': 'session',
  'GET /api/v1/sessions/:id/json': 'session',
  'GET /api/v1/sessions/:id/events': 'session',
  'GET /api/v1/sessions/:id/live': 'session',

  'GET /api/v1/sign-ins/:id': 'question',
  'POST /api/v1/sign-ins/:id/answer': 'question',
  'POST /api/v1/sign-ins/:id/passkey': 'question',
  'POST /api/v1/sign-ins/:id/deny': 'question',
  'POST /api/v1/sign-ins/:id/reveal': 'question',

  'GET /api/v1/audit': 'oversight',

  'GET /api/v1/admin/targets': 'admin',
  'GET /api/v1/admin/roles': 'admin',
  'GET /api/v1/admin/people': 'admin',
  'POST /api/v1/admin/people/:username/sign-out': 'admin',
  'GET /api/v1/admin/agents': 'admin',
  'POST /api/v1/admin/agents': 'admin',
  'POST /api/v1/admin/agents/:name/revoke': 'admin',
  'GET /api/v1/admin/health': 'admin',
  'POST /api/v1/identities/:username/lock': 'admin',
  'POST /api/v1/identities/:username/unlock': 'admin',
} as const satisfies Record<string, Policy>

/** Pages and what providers call have their paths from the settings and say `public` where they are made; the API has this table. */
export const apiPolicies: Readonly<Record<string, Policy>> = routes

/** Methods that change nothing; all others need the token and our own origin. */
export const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD'
