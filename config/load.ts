/** Reads a configuration: parsed once, checked, frozen. Every complaint is `file:line:column: what, and what is allowed`. */
import { existsSync, readFileSync } from 'node:fs'
import { isNode, LineCounter, parseDocument } from 'yaml'
import { type Complaint, complaintsOf } from './complaints.ts'
import { withEnvironment } from './environment.ts'
import { machineChecks } from './machines.ts'
import { type RawConfig, schema } from './schema.ts'

/** `message` holds one complaint a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export type Config = Readonly<ReturnType<typeof complete>>

/**
 * @param reserved words that cannot be the name of a target, because the ssh command line means something by them.
 * @throws {ConfigError}
 */
export function loadConfig(
  file: string,
  reserved: readonly string[] = [],
  env: NodeJS.ProcessEnv = process.env,
): Config {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError(`${file}: cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
  return parseConfig(text, file, reserved, env)
}

/** As {@link loadConfig}, on text that is already here; `file` is only the name in complaints. */
export function parseConfig(text: string, file: string, reserved: readonly string[], env: NodeJS.ProcessEnv): Config {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, version: '1.2' })
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  if (document.errors.length > 0)
    throw new ConfigError(document.errors.map((e) => `${at(e.pos[0])}: ${e.message}`).join('\n'))

  const place = ({ path, unknownKey }: Complaint): string => {
    for (let depth = path.length; depth >= 0; depth--) {
      const holder: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true)
      if (!isNode(holder)) continue
      const key = depth < path.length ? String(path[depth]) : unknownKey
      const items =
        'items' in holder && Array.isArray(holder.items) ? (holder.items as readonly { key?: unknown }[]) : []
      const pair = items.find(({ key: k }) => isNode(k) && 'value' in k && k.value === key)
      const node = isNode(pair?.key) ? pair.key : holder
      return node.range ? at(node.range[0]) : file
    }
    return `${file}:1:1`
  }
  const fail = (complaints: readonly Complaint[]): never => {
    throw new ConfigError(
      complaints.map((c) => `${place(c)}: ${wholePath(c).join('.') || '(top)'}: ${c.message}`).join('\n'),
    )
  }

  const plain: unknown = JSON.parse(JSON.stringify(document.toJS({ maxAliasCount: 20 }) ?? {}))
  const { value: expanded, missing } = withEnvironment(plain, env)
  const result = schema.safeParse(expanded)
  const wrong = result.success ? [] : complaintsOf(schema, result.error.issues, expanded)
  // What a text without its variable is like says nothing about the text.
  const certain = wrong.filter((one) => !missing.some(({ path }) => isOneWay(wholePath(one), path)))
  if (!result.success || missing.length > 0) return fail([...missing, ...certain])
  const complaints = [...crossChecks(result.data, reserved)]
  if (complaints.length > 0) fail(complaints)
  return freeze(complete(result.data))
}

const wholePath = ({ path, unknownKey }: Complaint): readonly PropertyKey[] =>
  unknownKey === undefined ? path : [...path, unknownKey]

/** One of the two leads to the other. */
const isOneWay = (one: readonly PropertyKey[], other: readonly PropertyKey[]): boolean =>
  one.slice(0, other.length).every((key, at) => key === other[at])

/** What a schema cannot see: names that point at each other. */
function* crossChecks(raw: RawConfig, reserved: readonly string[]): Generator<Complaint> {
  for (const target of Object.keys(raw.targets))
    if (reserved.includes(target))
      yield {
        path: ['targets', target],
        message: `"${target}" is a command of the ssh command line; choose another name`,
      }
  for (const [target, { postgres }] of Object.entries(raw.targets))
    if (postgres?.tls.mode === 'verify' && postgres.tls.ca !== undefined && !existsSync(postgres.tls.ca))
      yield {
        path: ['targets', target, 'postgres', 'tls', 'ca'],
        message: `${postgres.tls.ca} is not there; give the PEM file of the CA that signed the server's certificate`,
      }
  for (const [name, role] of Object.entries(raw.roles)) {
    for (const target of role.targets.names)
      if (raw.targets[target] === undefined)
        yield {
          path: ['roles', name, 'targets'],
          message: `there is no target "${target}"; known: ${Object.keys(raw.targets).join(', ')}`,
        }
    if (role.ssh === undefined && role.postgres === undefined && role.http === undefined)
      yield { path: ['roles', name], message: 'a role opens at least one of ssh, postgres, http' }
    if (role.default > role.max) yield { path: ['roles', name], message: 'default is longer than max' }
    yield* holdChecks(raw, name)
  }
  const host = new URL(raw.public_url).hostname
  if (raw.web !== undefined && host.endsWith(`.${raw.web.domain}`))
    for (const target of Object.keys(raw.targets))
      if (host === `${target}.${raw.web.domain}`)
        yield { path: ['web', 'domain'], message: `${host} is the gateway's own name and that of a target` }
  yield* machineChecks(raw.machines)
  const oauth = raw.postgres_oauth
  if (oauth !== undefined && raw.identity.providers[oauth.provider] === undefined)
    yield { path: ['postgres_oauth', 'provider'], message: `there is no provider "${oauth.provider}"` }
  for (const [name, provider] of Object.entries(raw.identity.providers))
    if (!provider.issuer.startsWith('https://') && !provider.insecure_http)
      yield {
        path: ['identity', 'providers', name, 'issuer'],
        message: 'an issuer is reached over https (insecure_http: true is for a development provider on loopback)',
      }
}

/** A hold that nothing keeps to, or that could not write once it was let through. */
function* holdChecks(raw: RawConfig, name: string): Generator<Complaint> {
  const role = raw.roles[name]
  if (role?.hold === undefined) return
  const { commands, postgres, template } = role.hold
  const path = (key: string) => ['roles', name, 'hold', key]
  const writes = postgres.filter((kind) => kind !== 'commit')
  if (writes.length > 0 && role.postgres?.mode !== 'read-only')
    yield { path: path('postgres'), message: 'belongs to postgres: mode: read-only; other roles may write as it is' }
  if (postgres.includes('commit') && role.postgres?.workspace === undefined)
    yield {
      path: path('postgres'),
      message: 'commit belongs to postgres: workspace: rollback; elsewhere it just commits',
    }
  if (postgres.length > 0 && role.postgres?.mask !== undefined)
    yield { path: path('postgres'), message: 'not with mask: what writes can copy a column to where it is not masked' }
  if (commands.length > 0 && role.ssh?.shell !== 'read-only')
    yield { path: path('commands'), message: 'belongs to ssh: shell: read-only; nothing else would keep to it' }
  const { labels, names } = role.targets
  const covers = ([target, { labels: own }]: [string, RawConfig['targets'][string]]): boolean =>
    names.includes(target) ||
    (Object.keys(labels).length > 0 && Object.entries(labels).every(([key, value]) => own[key] === value))
  const provisioned = Object.entries(raw.targets)
    .filter(covers)
    .find(([, target]) => target.postgres?.credential.kind === 'provision')
  if (writes.length > 0 && template === undefined && provisioned !== undefined)
    yield {
      path: path('postgres'),
      message: `say template: the role on ${provisioned[0]} that may write; the login of an approved statement is a member of it`,
    }
}

const NO_SSH = { shell: 'none', forward: [] } as const
const NO_POSTGRES = {
  mode: 'read-only',
  databases: [],
  schemas: [],
  template: undefined,
  allowFunctions: [],
  denyFunctions: [],
  statementTimeoutMs: 60_000,
  recordParameters: true,
  sampleRows: 0,
} as const

/** From the words of the file to the words of the house. */
function complete(raw: RawConfig) {
  const targets = Object.entries(raw.targets).map(([name, t]) => ({
    name,
    description: t.description,
    labels: t.labels,
    ssh: t.ssh,
    postgres: t.postgres === undefined ? undefined : { ...t.postgres, tls: withCertificate(t.postgres.tls) },
    http: t.http,
  }))
  const roles = Object.entries(raw.roles).map(([name, r]) => ({
    name,
    description: r.description,
    targets: r.targets,
    requesters: r.requesters,
    approval: r.approval,
    endpoints: [
      ...(r.ssh === undefined ? [] : (['ssh'] as const)),
      ...(r.postgres === undefined ? [] : (['postgres'] as const)),
      ...(r.http === undefined ? [] : (['http'] as const)),
    ],
    defaultMinutes: r.default / 60_000,
    maxMinutes: r.max / 60_000,
    mfaWithinMinutes: r.mfa_within / 60_000,
    stepUp: r.step_up,
    account: r.account,
    ssh: r.ssh ?? NO_SSH,
    postgres:
      r.postgres === undefined
        ? NO_POSTGRES
        : {
            mode: r.postgres.mode,
            databases: r.postgres.databases,
            schemas: r.postgres.schemas,
            template: r.postgres.template,
            allowFunctions: r.postgres.allow_functions,
            denyFunctions: r.postgres.deny_functions,
            statementTimeoutMs: r.postgres.statement_timeout,
            recordParameters: r.postgres.record_parameters,
            downloadRows: r.postgres.download_rows,
            sampleRows: r.postgres.sample_rows,
            ...(r.postgres.mask === undefined ? {} : { mask: r.postgres.mask }),
            ...(r.postgres.workspace === undefined ? {} : { workspace: r.postgres.workspace }),
          },
    http: r.http,
    hold: r.hold,
  }))
  const providers = Object.entries(raw.identity.providers).map(([name, p]) => ({ name, ...p }))
  const machines =
    raw.machines === undefined ? undefined : { ...raw.machines, ca: readFileSync(raw.machines.ca, 'utf8') }
  return { ...raw, targets, roles, machines, identity: { ...raw.identity, providers } }
}

/** A CA is named by its file and used by its content. */
function withCertificate<T extends { readonly mode: 'verify' | 'off' }>(tls: T): T {
  return 'ca' in tls && typeof tls.ca === 'string' ? { ...tls, ca: readFileSync(tls.ca, 'utf8') } : tls
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) freeze(inner)
  }
  return value
}
