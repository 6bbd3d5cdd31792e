/** The configuration of the demo: an ordinary one, written as a file that people may read and change. */
import { dirname } from 'node:path'
import { AGENT_TARGET } from './agent.ts'
import type { DemoHost } from './hosts.ts'
import { logCommands } from './logs.ts'

export type DemoConfigParts = {
  readonly ports: { readonly ssh: number; readonly https: number; readonly postgres: number; readonly admin: number }
  readonly issuer: string
  readonly dataDir: string
  readonly secretFile: string
  readonly hosts: readonly DemoHost[]
  /** Undefined where there is no PostgreSQL for this machine. */
  readonly database?: DemoDatabase | undefined
  /** Of the web application that prod-web is. */
  readonly webUrl?: string | undefined
}

export type DemoDatabase = {
  readonly host: string
  readonly port: number
  readonly database: string
  /** A PEM file. */
  readonly caFile: string
  readonly provisioner: string
  readonly passwordFile: string
}

export function demoConfig({ ports, issuer, dataDir, secretFile, hosts, database, webUrl }: DemoConfigParts): object {
  const scope = { targets: { labels: { env: 'prod' } }, requesters: ['engineers'] }
  return {
    public_url: `https://localhost:${ports.https}`,
    data: dataDir,
    listen: {
      ssh: `127.0.0.1:${ports.ssh}`,
      https: `127.0.0.1:${ports.https}`,
      admin: `127.0.0.1:${ports.admin}`,
      ...(database === undefined ? {} : { postgres: `127.0.0.1:${ports.postgres}` }),
    },
    web: { domain: 'apps.localhost' },
    workers: 2,
    journal: { max_megabytes: 4096, min_free_megabytes: 64 },
    identity: {
      providers: {
        demo: {
          issuer,
          insecure_http: true,
          client_id: 'sallyport',
          client_secret: `file:${secretFile}`,
          scopes: ['openid', 'profile', 'groups'],
          mfa: { acr: ['urn:sallyport:acr:mfa'], amr: ['otp', 'mfa'] },
        },
      },
    },
    admins: ['leads'],
    auditors: ['auditors'],
    targets: {
      [AGENT_TARGET]: {
        description: 'A host without sshd, behind an agent that dials out',
        labels: { env: 'prod', kind: 'application' },
        ssh: { agent: AGENT_TARGET, account: hosts[0]?.account },
        ...(webUrl === undefined ? {} : { http: { url: 'http://shop.internal', agent: AGENT_TARGET } }),
      },
      ...Object.fromEntries(
        hosts.map((host) => [
          host.name,
          {
            description: host.name === 'prod-db' ? 'The orders database and its host' : 'The web shop',
            labels: { env: 'prod', kind: host.name === 'prod-db' ? 'database' : 'web' },
            ssh: { address: `127.0.0.1:${host.port}`, account: host.account, host_keys: [host.hostKey] },
            ...(host.name === 'prod-db' && database !== undefined ? { postgres: postgresOf(database) } : {}),
            ...(host.name === 'prod-web' && webUrl !== undefined ? { http: { url: webUrl } } : {}),
          },
        ]),
      ),
    },
    roles: {
      operator: {
        description: 'A full shell, recorded',
        ...scope,
        approval: { groups: ['leads'], people: 1 },
        default: '30m',
        max: '2h',
        ssh: {
          shell: 'full',
          forward: ['127.0.0.1:*'],
          alerts: {
            'become-root': String.raw`\bsudo\s+(-i|-s|su)\b`,
            format: { pattern: String.raw`\bmkfs(\.\w+)?\b`, end: true },
          },
        },
        postgres: { mode: 'read-write', template: 'app_readwrite' },
        http: { mode: 'read-write', websocket: true },
      },
      readonly: {
        description: 'Look, and change nothing',
        ...scope,
        approval: { groups: ['leads'], people: 1 },
        default: '30m',
        max: '4h',
        ssh: { shell: 'read-only' },
        postgres: { mode: 'read-only', template: 'app_readonly', schemas: ['public'] },
        http: { mode: 'read-only' },
      },
      sensitive: {
        description: 'As operator, with a touch of a passkey at each session',
        requesters: ['engineers'],
        targets: ['prod-db', 'prod-web'],
        approval: { groups: ['leads'], people: 1 },
        default: '30m',
        max: '1h',
        step_up: 'passkey',
        ssh: { shell: 'full' },
        postgres: { mode: 'read-write', template: 'app_readwrite' },
        http: { mode: 'read-write', websocket: true },
      },
      careful: {
        description: 'Look; a change waits until somebody else has read it',
        ...scope,
        approval: { groups: ['leads'], people: 1 },
        default: '30m',
        max: '2h',
        ssh: { shell: 'read-only' },
        postgres: { mode: 'read-only', template: 'app_readonly', schemas: ['public'] },
        hold: {
          postgres: ['insert', 'update', 'delete'],
          commands: ['systemctl restart', 'kill', 'touch'],
          approvers: ['leads'],
          rows: 100,
          template: 'app_readwrite',
        },
      },
      support: {
        description: 'Look at orders; who the customers are stays masked',
        requesters: ['engineers'],
        targets: ['prod-db'],
        approval: 'auto',
        default: '30m',
        max: '4h',
        postgres: {
          mode: 'read-only',
          template: 'app_readonly',
          schemas: ['public'],
          mask: { 'customers.email': 'partial', 'customers.name': 'hash' },
        },
      },
      tryout: {
        description: 'Change the database and see: nothing stays unless somebody else lets a COMMIT through',
        requesters: ['engineers'],
        targets: ['prod-db'],
        approval: 'auto',
        default: '30m',
        max: '2h',
        postgres: { mode: 'read-write', template: 'app_readwrite', workspace: 'rollback' },
        hold: { postgres: ['commit'], approvers: ['leads'], rows: 100 },
      },
      observe: {
        description: 'A full shell on a host where nothing can be written',
        targets: [AGENT_TARGET],
        requesters: ['engineers'],
        approval: 'auto',
        default: '30m',
        max: '4h',
        ssh: { shell: 'full', workspace: 'read-only' },
      },
      rehearse: {
        description: 'A full shell whose changes are recorded, and wait for somebody else',
        targets: [AGENT_TARGET],
        requesters: ['engineers'],
        approval: 'auto',
        default: '30m',
        max: '4h',
        ssh: { shell: 'full', workspace: 'overlay', keep: { for: '24h', approvers: ['leads'] } },
      },
      logs: {
        description: "Read the application's logs on one node",
        ...scope,
        approval: 'auto',
        default: '30m',
        max: '1h',
        ssh: { shell: 'none', commands: logCommands(dirname(dataDir)) },
      },
    },
  }
}

const postgresOf = (database: DemoDatabase): object => ({
  address: `${database.host}:${database.port}`,
  database: database.database,
  tls: { ca: database.caFile },
  provisioner: { username: database.provisioner, password: `file:${database.passwordFile}` },
})
