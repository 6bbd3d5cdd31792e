/** docker-compose.yml, Dockerfile and the realm: checked without an engine, against what the compose specification and our own config say. */
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { parseConfig } from '../config/load.ts'

const healthcheck = z.strictObject({
  test: z.tuple([z.enum(['CMD', 'CMD-SHELL'])], z.string()),
  interval: z.string().regex(/^\d+s$/),
  timeout: z.string().regex(/^\d+s$/),
  retries: z.int().positive(),
})
/** The part of the compose specification that the file uses; anything else in it is a typing mistake. */
const service = z
  .strictObject({
    build: z.string().optional(),
    image: z
      .string()
      .regex(/^[\w./-]+:[\w.-]+$/, 'an image has a version')
      .optional(),
    command: z.array(z.string()).optional(),
    hostname: z.string().optional(),
    depends_on: z
      .record(z.string(), z.strictObject({ condition: z.enum(['service_started', 'service_healthy']) }))
      .optional(),
    ports: z.array(z.string().regex(/^\d+:\d+$/)).optional(),
    environment: z.record(z.string(), z.string()).optional(),
    volumes: z.array(z.string().regex(/^[\w./-]+:\/[\w./-]+(:ro)?$/)).optional(),
    read_only: z.boolean().optional(),
    tmpfs: z.array(z.string()).optional(),
    cap_drop: z.array(z.string()).optional(),
    security_opt: z.array(z.string()).optional(),
    stop_grace_period: z.string().optional(),
    restart: z.enum(['no', 'always', 'on-failure', 'unless-stopped']).optional(),
    ulimits: z.record(z.string(), z.strictObject({ soft: z.int(), hard: z.int() })).optional(),
    healthcheck: healthcheck.optional(),
  })
  .refine((s) => (s.build === undefined) !== (s.image === undefined), 'a service is built or has an image')
const compose = z.strictObject({
  name: z.string(),
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.null()),
})

const text = readFileSync('docker-compose.yml', 'utf8')

await t.test('the compose file fits its schema, and what it names is there', async (t) => {
  const file = compose.parse(parse(text))
  t.strictSame(Object.keys(file.services), ['gateway', 'clickhouse', 'keycloak', 'target'])
  for (const [name, s] of Object.entries(file.services)) {
    for (const [other, { condition }] of Object.entries(s.depends_on ?? {})) {
      t.ok(file.services[other], `${name} depends on ${other}`)
      if (condition === 'service_healthy') t.ok(file.services[other]?.healthcheck, `${other} can be healthy`)
    }
    if (s.build !== undefined) t.ok(existsSync(`${s.build}/Dockerfile`), `${name} has a Dockerfile`)
    for (const volume of s.volumes ?? []) {
      const [from = ''] = volume.split(':')
      if (from.startsWith('./deploy/made')) continue // made by deploy/prepare.sh
      t.ok(from.startsWith('./') ? existsSync(from) : Object.hasOwn(file.volumes, from), `${name}: ${from} is there`)
    }
  }
})

await t.test('no secret has a default', async (t) => {
  for (const [, name] of text.matchAll(/\$\{(\w+)[^}]*\}/g))
    t.match(text, new RegExp(`\\$\\{${name}:\\?`), `${name} must be given`)
  for (const line of readFileSync('deploy/env.example', 'utf8').split('\n'))
    if (/^\w+=/.test(line)) t.match(line, /^\w+=$/)
})

await t.test('the gateway is given every variable that its configuration takes', async (t) => {
  const file = compose.parse(parse(text))
  const gateway = file.services['gateway']
  const config = parseConfig(
    readFileSync('config/example.yaml', 'utf8'),
    'example.yaml',
    [],
    gateway?.environment ?? {},
  )
  const provider = config.identity.providers[0]
  t.equal(config.audit.kind, 'server')
  if (config.audit.kind === 'server') {
    t.equal(new URL(config.audit.url).hostname in file.services, true)
    t.ok(gateway?.environment?.[config.audit.password.replace('env:', '')])
  }
  t.equal(new URL(provider?.issuer ?? '').hostname in file.services, true)
  t.equal(
    config.targets.every((target) => target.ssh === undefined || target.ssh.host in file.services),
    true,
  )
  t.equal(Object.hasOwn(gateway?.environment ?? {}, provider?.client_secret?.replace('env:', '') ?? ''), true)
  t.strictSame(
    gateway?.ports?.map((p) => Number(p.split(':')[1])),
    [config.listen.ssh.port, config.listen.https.port],
  )
})

await t.test('the realm asks for a one-time code and fits the configuration', async (t) => {
  const realm = JSON.parse(readFileSync('deploy/keycloak/sallyport-realm.json', 'utf8'))
  const config = parseConfig(readFileSync('config/example.yaml', 'utf8'), 'example.yaml', [], { SALLYPORT_DATA: '/x' })
  const provider = config.identity.providers[0]
  t.equal(realm.requiredActions[0].alias, 'CONFIGURE_TOTP')
  t.equal(realm.requiredActions[0].defaultAction, true)
  t.ok(provider?.issuer.endsWith(`/realms/${realm.realm}`))
  const client = realm.clients[0]
  t.equal(client.clientId, provider?.client_id)
  t.strictSame(client.redirectUris, [`${config.public_url}/auth/callback`])
  t.equal(client.attributes['pkce.code.challenge.method'], 'S256')
  t.equal(client.secret, '${OIDC_CLIENT_SECRET}')
  const groups = new Set(realm.groups.map((g: { name: string }) => g.name))
  for (const role of config.roles) {
    for (const group of [...role.requesters, ...(role.approval.kind === 'people' ? role.approval.groups : [])])
      t.ok(groups.has(group), group)
  }
  for (const scope of provider?.scopes ?? [])
    t.ok(scope === 'openid' || realm.clientScopes.some((s: { name: string }) => s.name === scope), `scope ${scope}`)
})
