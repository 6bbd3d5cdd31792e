/** What a configuration may say. Parsing gives the plain, complete, frozen object that the rest of the house takes. */
import { z } from 'zod'
import { holdScope } from './hold.ts'
import { httpEndpoint, httpScope } from './http.ts'
import { maskRules } from './mask.ts'
import { sshScope } from './ssh.ts'
import { machines } from './machines.ts'
import { duration, groups, hostPort, name, secretRef } from './words.ts'

const sshEndpoint = z
  .strictObject({
    address: hostPort.optional(),
    /** The agent through which it is reached, in place of an address. Its own shell's key was pinned when it was enrolled. */
    agent: name.optional(),
    account: z.string().min(1).optional(),
    host_keys: z.array(z.string()).default([]),
    known_hosts: z.array(z.string()).default([]),
    host_authorities: z.array(z.string()).default([]),
    private_key: secretRef.optional(),
  })
  .refine((e) => (e.address === undefined) !== (e.agent === undefined), {
    message: 'give exactly one of address (direct) and agent (through the line that it holds)',
  })
  .refine((e) => e.agent !== undefined || e.host_keys.length + e.known_hosts.length + e.host_authorities.length > 0, {
    message: 'pin the host: give host_keys, known_hosts or host_authorities (there is no "any")',
  })
  .transform((e) => ({
    host: e.address?.host ?? e.agent ?? '',
    port: e.address?.port ?? 22,
    agent: e.agent,
    account: e.account,
    trust: { keys: e.host_keys, knownHosts: e.known_hosts, authorities: e.host_authorities },
    credential:
      e.private_key === undefined ? ({ kind: 'ca' } as const) : ({ kind: 'key', privateKey: e.private_key } as const),
  }))

const postgresEndpoint = z
  .strictObject({
    address: z.union([
      hostPort,
      z.strictObject({ socket_directory: z.string().startsWith('/'), port: z.int().default(5432) }),
      z.strictObject({ agent: name }).transform(({ agent }) => ({ host: agent, port: 5432, agent })),
    ]),
    database: z.string().min(1),
    tls: z
      .union([z.literal('off'), z.strictObject({ ca: z.string().optional(), server_name: z.string().optional() })])
      .default({}),
    provisioner: z.strictObject({ username: z.string().min(1), password: secretRef }).optional(),
    static: z.strictObject({ username: z.string().min(1), password: secretRef }).optional(),
  })
  .refine((e) => (e.provisioner === undefined) !== (e.static === undefined), {
    message: 'give exactly one of provisioner (a role per grant) and static (one login for all)',
  })
  .transform((e, context) => {
    const host = 'host' in e.address ? e.address.host : e.address.socket_directory
    const agent = 'agent' in e.address ? e.address.agent : undefined
    const loopback = agent !== undefined || host.startsWith('/') || ['127.0.0.1', '::1', 'localhost'].includes(host)
    if (e.tls === 'off' && !loopback)
      context.addIssue({
        code: 'custom',
        path: ['tls'],
        message: 'tls: off is only for loopback addresses, unix sockets and agents',
      })
    const login = e.provisioner ?? e.static
    return {
      host,
      port: e.address.port,
      agent,
      database: e.database,
      tls:
        e.tls === 'off'
          ? ({ mode: 'off' } as const)
          : ({ mode: 'verify', ca: e.tls.ca, serverName: e.tls.server_name } as const),
      credential: {
        kind: e.provisioner === undefined ? ('static' as const) : ('provision' as const),
        username: login?.username ?? '',
        password: login?.password ?? '',
      },
    }
  })

const target = z
  .strictObject({
    description: z.string().default(''),
    labels: z.record(z.string(), z.string()).default({}),
    ssh: sshEndpoint.optional(),
    postgres: postgresEndpoint.optional(),
    http: httpEndpoint.optional(),
  })
  .refine((t) => t.ssh ?? t.postgres ?? t.http, { message: 'a target has at least one of ssh, postgres, http' })

const approval = z.union([
  z.literal('auto').transform(() => ({ kind: 'auto' }) as const),
  z
    .strictObject({ groups: groups.min(1), people: z.int().min(1).max(9).default(1) })
    .transform((a) => ({ kind: 'people', count: a.people, groups: a.groups }) as const),
])

/** A list of commands and rules for files may stand beside `ssh`, too: they are its words. */
function liftedIntoSsh(given: unknown): unknown {
  if (typeof given !== 'object' || given === null || !('ssh' in given)) return given
  const { commands, files, ssh, ...rest } = given as Readonly<Record<string, unknown>>
  if (typeof ssh !== 'object' || ssh === null) return given
  const more = { ...(commands === undefined ? {} : { commands }), ...(files === undefined ? {} : { files }) }
  // Said in both places, neither is the one that counts.
  if (Object.keys(more).some((key) => key in ssh)) return given
  return { ...rest, ssh: { ...ssh, ...more } }
}

const roleScope = z.strictObject({
  description: z.string().default(''),
  targets: z.union([
    z.array(name).transform((names) => ({ labels: {} as Record<string, string>, names })),
    z
      .strictObject({ labels: z.record(z.string(), z.string()).default({}), names: z.array(name).default([]) })
      .refine((t) => t.names.length + Object.keys(t.labels).length > 0, { message: 'name labels or targets' }),
  ]),
  requesters: groups.min(1),
  approval,
  default: duration.default(30 * 60_000),
  max: duration.default(60 * 60_000),
  mfa_within: duration.default(12 * 3_600_000),
  step_up: z.literal('passkey').optional(),
  account: z.string().min(1).optional(),
  ssh: sshScope.optional(),
  postgres: z
    .strictObject({
      mode: z.enum(['read-only', 'read-write']),
      databases: z.array(z.string()).default([]),
      schemas: z.array(z.string()).default([]),
      template: z.string().optional(),
      allow_functions: z.array(z.string()).default([]),
      deny_functions: z.array(z.string()).default([]),
      statement_timeout: duration.default(60_000),
      record_parameters: z.boolean().default(true),
      download_rows: z.int().min(0).max(1_000_000).default(10_000),
      sample_rows: z.int().min(0).max(100).default(0),
      mask: maskRules.optional(),
      /** All of a session is rolled back at its end. */
      workspace: z.literal('rollback').optional(),
    })
    .refine((p) => p.workspace === undefined || p.mode === 'read-write', {
      path: ['workspace'],
      message: 'belongs to mode: read-write; where nothing is written there is nothing to roll back',
    })
    .refine((p) => p.mask === undefined || p.mode === 'read-only', {
      path: ['mask'],
      message: 'mask needs mode: read-only; who may write can copy a column to where it is not masked',
    })
    .refine((p) => p.mask === undefined || p.allow_functions.length === 0, {
      path: ['allow_functions'],
      message: 'a role with mask allows none: such a function could hand on what it reads',
    })
    .optional(),
  http: httpScope.optional(),
  hold: holdScope.optional(),
})

const role = z.preprocess(liftedIntoSsh, roleScope)

const provider = z.strictObject({
  issuer: z.url(),
  client_id: z.string().min(1),
  client_secret: secretRef.optional(),
  scopes: z.array(z.string()).default(['openid', 'profile', 'groups']),
  username_claim: z.string().default('preferred_username'),
  groups_claim: z.string().default('groups'),
  mfa: z
    .strictObject({ acr: z.array(z.string()).default([]), amr: z.array(z.string()).default([]) })
    .refine((m) => m.acr.length + m.amr.length > 0, {
      message: 'say which acr or amr values of this provider prove a second factor',
    }),
  /** Plain http towards the provider: for a development provider on loopback, and for nothing else. */
  insecure_http: z.boolean().default(false),
})

export const schema = z.strictObject({
  public_url: z.url().refine((u) => u.startsWith('https://'), 'people sign in over https only'),
  data: z.string().default('./data'),
  listen: z
    .strictObject({
      ssh: hostPort.default({ host: '127.0.0.1', port: 2222 }),
      postgres: hostPort.optional(),
      https: hostPort.default({ host: '127.0.0.1', port: 8443 }),
      admin: hostPort.optional(),
    })
    .prefault({}),
  tls: z.strictObject({ certificate: z.string(), key: z.string() }).optional(),
  /** Web targets are at `https://<target>.<domain>`, on the port of `public_url`. Left out: no web targets. */
  web: z
    .strictObject({ domain: z.string().regex(/^[a-z0-9-]+(\.[a-z0-9-]+)*$/, 'a domain in lower case, without a port') })
    .optional(),
  workers: z.int().min(1).max(64).default(2),
  state: z
    .union([z.literal('embedded'), z.string().regex(/^sqlite:.+/, 'embedded, or sqlite:/path/of/file.db')])
    .default('embedded'),
  audit: z
    .union([
      z.literal('embedded').transform(() => ({ kind: 'embedded' }) as const),
      z
        .strictObject({ url: z.url(), username: z.string(), password: secretRef })
        .transform((a) => ({ kind: 'server', ...a }) as const),
    ])
    .default({ kind: 'embedded' }),
  /** How long recordings are kept; the audit log and its signatures are kept for good. */
  retention: duration.default(400 * 86_400_000).refine((ms) => ms >= 86_400_000, 'keep recordings for a day at least'),
  journal: z
    .strictObject({ max_megabytes: z.int().min(16).default(8192), min_free_megabytes: z.int().min(1).default(512) })
    .prefault({}),
  identity: z.strictObject({
    providers: z.record(name, provider).refine((p) => Object.keys(p).length > 0, 'name at least one provider'),
    key_bound_for: duration.default(8 * 3_600_000),
    approval_within: duration.default(5 * 60_000),
    allow_other_address: z.boolean().default(false),
    sign_in_wait: duration.default(120_000),
    session_idle: duration.default(15 * 60_000),
    session_most: duration.default(12 * 3_600_000),
    /** How long the groups of a sign-in count; then the next connection asks to sign in again. */
    groups_hold_for: duration.default(12 * 3_600_000),
    /** Public keys of CAs whose OpenSSH user certificates are accepted as a key. */
    user_authorities: z.array(z.string()).default([]),
  }),
  /** psql 18 and its `oauth` may bring a token of the provider, at a host name of its own and nowhere else. */
  postgres_oauth: z
    .strictObject({ hostname: z.string().min(1), provider: name, scope: z.string().default('openid') })
    .optional(),
  machines: machines.optional(),
  admins: groups.default([]),
  auditors: groups.default([]),
  targets: z.record(name, target),
  roles: z.record(name, role),
  stale_after: duration.default(30_000),
  /** Approvers hear of requests there: JSON with a `text`, as chat programs take it. */
  notify: z.strictObject({ webhook: secretRef, details: z.boolean().default(false) }).optional(),
  telemetry: z.strictObject({ otlp: z.url().optional(), service_name: z.string().default('sallyport') }).optional(),
})

export type RawConfig = z.output<typeof schema>
