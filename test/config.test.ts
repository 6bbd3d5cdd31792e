import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { absentHere } from '../config/absent.ts'
import { ConfigError, loadConfig, parseConfig } from '../config/load.ts'
import { followed, waiting } from '../config/reload.ts'
import { milliseconds } from '../config/words.ts'
import { explainConfig } from '../gateway/explain.ts'
import type { Role } from '../gateway/model/role.ts'
import type { Target } from '../gateway/model/target.ts'

const example = readFileSync('config/example.yaml', 'utf8')
const env = { SALLYPORT_DATA: '/var/lib/sallyport' }
const parse = (text: string, reserved: readonly string[] = []) => parseConfig(text, 'gate.yaml', reserved, env)
const shell = (words: string) => example.replace('ssh: { shell: full }', `ssh: ${words}`)
const masked = (words: string) => example.replace('ssh: { shell: full }', `postgres: { ${words} }`)
const held = (words: string, hold: string) =>
  example.replace('ssh: { shell: full }', `${words}\n    hold: { ${hold}, approvers: [leads] }`)
const folder = mkdtempSync(join(tmpdir(), 'sallyport-config-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const authority = join(folder, 'machines.pem')
const made = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '2', '-subj', '/CN=CA', '-keyout', '/dev/null']
await promisify(execFile)('openssl', [...made, '-out', authority])
const machines = (names: string, ca = authority) => `${example}\nmachines: { ca: ${ca}, names: { ${names} } }\n`
const complaint = (text: string, reserved: readonly string[] = []): string => {
  try {
    parse(text, reserved)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'accepted'
}

await t.test('the example is accepted, complete and frozen', async (t) => {
  const config = parse(example)
  const targets: readonly Target[] = config.targets
  const roles: readonly Role[] = config.roles
  t.match(targets, [{ name: 'prod-db', ssh: { host: 'target', port: 22, credential: { kind: 'ca' } } }])
  t.match(roles, [{ name: 'operator', defaultMinutes: 30, maxMinutes: 120, endpoints: ['ssh'] }])
  t.equal(config.data, '/var/lib/sallyport')
  t.throws(() => Object.assign(config.targets[0] ?? {}, { name: 'other' }))
})

await t.test('each complaint names file, line and column, and what is allowed', async (t) => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      'an unknown word',
      example.replace('workers: 2', 'workrs: 2'),
      /^gate\.yaml:16:1: workrs: is not a word of the configuration; did you mean workers\?$/,
    ],
    [
      'a word of a deeper place',
      example.replace('requesters:', 'requestors:'),
      /:53:5: roles\.operator\.requesters: is missing\n.*:55:5: roles\.operator\.requestors: .*did you mean requesters\?$/,
    ],
    [
      'one of several forms',
      example.replace('{ groups: [leads], people: 1 }', '{ groups: leads }'),
      /:56:\d+: roles\.operator\.approval\.groups: takes a list$/,
    ],
    [
      'no form at all',
      example.replace('{ groups: [leads], people: 1 }', 'aut'),
      /approval: takes auto, not "aut"; or takes keys of its own$/,
    ],
    [
      'a word of a list',
      example.replace('shell: full', 'shell: ful'),
      /ssh\.shell: takes full, read-only, none, not "ful"$/,
    ],
    ['a number without its unit', example.replace('max: 2h', 'max: 2'), /max: a span with its unit: 90s, 30m/],
    ['too little', example.replace('workers: 2', 'workers: 0'), /^gate\.yaml:16:10: workers: takes 1 or more$/],
    [
      'a wrong address',
      example.replace('ssh: 0.0.0.0:2222', 'ssh: nowhere'),
      /^gate\.yaml:8:8: listen\.ssh: "nowhere" is not host:port/,
    ],
    [
      'a wrong duration',
      example.replace('max: 2h', 'max: soon'),
      /gate\.yaml:\d+:10: roles\.operator\.max: "soon" is not a duration; write 90s/,
    ],
    [
      'a secret in the file',
      example.replace('env:OIDC_CLIENT_SECRET', 'hunter2'),
      /client_secret: a secret is given by reference/,
    ],
    ['no pinned host', example.replace(/ +known_hosts: .*\n/, ''), /pin the host/],
    ['plain http', example.replace(/ +insecure_http: .*\n/, ''), /an issuer is reached over https/],
    [
      'an unknown target',
      example.replace('targets: { labels: { env: prod } }', 'targets: [prod-bd]'),
      /there is no target "prod-bd"; known: prod-db/,
    ],
    ['a default beyond the most', example.replace('default: 30m', 'default: 3h'), /default is longer than max/],
    ['broken YAML', 'a: [1\nb: 2', /^gate\.yaml:\d+:\d+: /],
    [
      'a variable that is not set',
      example.replace('SALLYPORT_DATA', 'NO_SUCH'),
      /^gate\.yaml:5:7: data: environment variable not set: NO_SUCH$/,
    ],
  ]
  for (const [name, text, expected] of cases) t.match(complaint(text), expected, name)
  t.match(complaint(example.replaceAll('prod-db', 'approve'), ['approve']), /"approve" is a command/)
  t.equal(complaint(`${example}\nroles: {}`).includes('gate.yaml:'), true, 'a key given twice')
})

await t.test('one vocabulary for what a role filters, as a person would write it', async (t) => {
  const readonly = example.replace(
    'ssh: { shell: full }',
    `ssh: { shell: read-only }
    commands: [ls, cat, tail, { journalctl: [-u, -n, --since] }]
    files: { read: ["/var/log/**"], write: [] }
    postgres: { mode: read-only, databases: [app], schemas: [public], deny_functions: [pg_sleep] }
    http: { methods: [GET, HEAD], paths: ["/api/**"], websocket: false }
    hold: { postgres: [update, delete], approvers: [leads], rows: 100 }`,
  )
  const [role]: readonly Role[] = parse(readonly).roles
  t.match(role?.ssh.readOnly, {
    commands: ['ls', 'cat', 'tail', { journalctl: ['-u', '-n', '--since'] }],
    files: { read: ['/var/log/**'], write: [] },
  })
  t.match(role?.postgres, { mode: 'read-only', denyFunctions: ['pg_sleep'], databases: ['app'], schemas: ['public'] })
  t.match(role?.http, { mode: 'read-only', methods: ['GET', 'HEAD'], paths: ['/api/**'], websocket: false })
  t.match(role?.hold, { postgres: ['update', 'delete'], approvers: ['leads'], rows: 100 })
  t.match(explainConfig(parse(readonly)), /Its commands: ls, cat, tail, journalctl \(-u -n --since\)/)
  t.match(
    complaint(readonly.replace('{ shell: read-only }', '{ shell: read-only, commands: [ls] }')),
    /commands: is not a word/,
  )
})

await t.test('masks and alerts: what they mean, and where they cannot be kept', async (t) => {
  const config = parse(masked('mode: read-only, mask: { customers.email: partial, hr.people.*: null, "*.ssn": full }'))
  t.same((config.roles as readonly Role[])[0]?.postgres.mask, [
    { schema: undefined, table: 'customers', column: 'email', kind: 'partial' },
    { schema: 'hr', table: 'people', column: undefined, kind: 'null' },
    { schema: undefined, table: undefined, column: 'ssn', kind: 'full' },
  ])
  t.match(explainConfig(config), /customers\.email partial, hr\.people\.\* null, \*\.ssn full/)
  t.match(
    complaint(masked('mode: read-write, mask: { a.b: full }')),
    /:\d+:\d+: roles\.operator\.postgres\.mask: mask needs mode: read-only/,
  )
  t.match(
    complaint(masked('mode: read-only, allow_functions: [app.f], mask: { a.b: full }')),
    /a role with mask allows none/,
  )
  t.match(complaint(masked('mode: read-only, mask: { email: full }')), /write table\.column or schema\.table\.column/)
  const rules = parse(
    shell(String.raw`{ shell: full, alerts: { root: '\bsudo\b', wipe: { pattern: 'mkfs', end: true } } }`),
  )
  t.same((rules.roles as readonly Role[])[0]?.ssh.alerts, [
    { name: 'root', pattern: String.raw`\bsudo\b`, shown: false, end: false },
    { name: 'wipe', pattern: 'mkfs', shown: false, end: true },
  ])
  t.match(
    explainConfig(rules),
    /An alarm, not a boundary: wipe, when a line that was typed fits mkfs; it ends the session\./,
  )
  t.match(
    complaint(shell("{ shell: full, alerts: { back: '(a)\\1' } }")),
    /:\d+:\d+: roles\.operator\.ssh\.alerts\.back\.pattern: .*RE2/,
  )
  t.match(complaint(shell("{ shell: read-only, alerts: { a: 'a' } }")), /alerts watch a shell: full/)
})

await t.test('the environment cannot inject structure', async (t) => {
  const config = parseConfig(example, 'gate.yaml', [], { SALLYPORT_DATA: 'x\nworkers: 64' })
  t.equal(config.workers, 2)
})

await t.test('a file that is not there is a sentence, not a stack', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-config-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  t.throws(() => loadConfig(join(dir, 'none.yaml')), { name: 'ConfigError', message: /none\.yaml: cannot be read/ })
  writeFileSync(join(dir, 'empty.yaml'), '')
  t.throws(() => loadConfig(join(dir, 'empty.yaml')), { name: 'ConfigError' })
})

await t.test('what is not set is said at once, with what else is wrong, each at its place', async (t) => {
  const text = example
    .replace('SALLYPORT_DATA', 'NO_DATA')
    .replace('issuer: http://keycloak', 'issuer: http://${NO_HOST}')
    .replace('max: 2h', 'max: soon')
  const lines = complaint(text).split('\n')
  t.match(lines, [
    /^gate\.yaml:5:7: data: environment variable not set: NO_DATA$/,
    /^gate\.yaml:\d+:15: identity\.providers\.keycloak\.issuer: environment variable not set: NO_HOST$/,
    /^gate\.yaml:\d+:\d+: roles\.operator\.max: "soon" is not a duration/,
  ])
  t.equal(lines.length, 3)
})

await t.test('files and variables that are not there are named with their place, and are no mistake', async (t) => {
  const lines = absentHere('config/example.yaml', { ...env, OIDC_CLIENT_SECRET: 'x' })
  t.match(lines[0], /^config\/example\.yaml:13:16: certificate: \/etc\/sallyport\/tls\/cert\.pem is not there/)
  t.match(lines.slice(2), [
    /^config\/example\.yaml:21:13: password: the environment variable CLICKHOUSE_PASSWORD is not set here$/,
  ])
  t.notMatch(lines.join('\n'), 'OIDC_CLIENT_SECRET')
})

await t.test('durations', async (t) => {
  for (const [text, ms] of [
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['250ms', 250],
    ['0.5m', 30_000],
  ] as const)
    t.equal(milliseconds(text), ms, text)
  for (const text of ['', '5', 'm', '1h 30m', '-1s', '1w']) t.equal(milliseconds(text), undefined, text)
})

await t.test('a read-only shell has a list of programs, and only it has one', async (t) => {
  const { roles } = parse(shell('{ shell: read-only, commands: [ls, { systemctl: [status] }], deny: [curl] }'))
  t.match(roles[0]?.ssh, {
    shell: 'read-only',
    readOnly: { commands: ['ls', { systemctl: ['status'] }], deny: ['curl'], files: { read: ['/**'], write: [] } },
  })
  t.match(parse(shell('{ shell: read-only }')).roles[0]?.ssh, { readOnly: { commands: undefined } })
  t.match(complaint(shell('{ shell: full, commands: [ls] }')), /belong to shell: read-only/)
  t.match(complaint(shell('{ shell: full, files: { write: [] } }')), /belong to shell: read-only/)
  t.match(complaint(shell('{ shell: read-only, files: { read: [log] } }')), /an absolute path/)
})

await t.test(
  'a hold says what waits, for whom, and what is let through as whom; what nothing keeps to is refused',
  async (t) => {
    const readonly = 'postgres: { mode: read-only, template: app_readonly }'
    t.match(
      complaint(held('postgres: { mode: read-write }', 'postgres: [update]')),
      /belongs to postgres: mode: read-only/,
    )
    t.match(
      complaint(held('ssh: { shell: full }', 'commands: [systemctl restart]')),
      /belongs to ssh: shell: read-only/,
    )
    t.match(complaint(held(readonly, 'postgres: [commit]')), /commit belongs to postgres: workspace: rollback/)
    t.match(complaint(held(readonly, 'postgres: [drop]')), /hold\.postgres/)
    t.match(complaint(held(readonly, 'rows: 5')), /name what is held/)
    t.match(
      complaint(held('postgres: { mode: read-only, mask: { customers.email: partial } }', 'postgres: [update]')),
      /not with mask/,
    )
    t.match(
      complaint(held('postgres: { mode: read-only, workspace: rollback }', 'postgres: [commit]')),
      /nothing to roll back/,
    )
    const config = parse(
      held(`${readonly}\n    ssh: { shell: read-only }`, 'postgres: [update, delete], commands: [kill]'),
    )
    const words = explainConfig(config)
    t.match(words, /UPDATE and DELETE wait until one person of leads lets them through; each runs once/)
    t.match(words, /Commands that begin with kill wait until one person of leads lets them through/)
    const rehearsal = parse(held('postgres: { mode: read-write, workspace: rollback }', 'postgres: [commit]'))
    t.match(
      explainConfig(rehearsal),
      /Read and change the database; all of it is rolled back at the end[\s\S]*COMMIT waits until one person of leads/,
    )
  },
)
await t.test('each machine has one certificate of its own', async (t) => {
  const { machines: given } = parse(machines('reports: { dns: reports.example, groups: [reporting] }'))
  t.match(given?.names, { reports: { certificate: { kind: 'dns', value: 'reports.example' }, groups: ['reporting'] } })
  t.match(complaint(machines('a: { groups: [x] }')), /machines\.names\.a: say one of uri, dns, common_name/)
  t.match(complaint(machines('a: { dns: b, common_name: b, groups: [x] }')), /say one of/)
  t.match(
    complaint(machines('a: { dns: b, groups: [x] }, c: { dns: b, groups: [x] }')),
    /c: has the certificate of "a"/,
  )
  t.match(complaint(machines('a: { dns: b, groups: [x] }', '/nowhere.pem')), /nowhere\.pem is not there/)
  t.match(complaint(machines('a: { dns: b, groups: [x] }', 'package.json')), /package\.json holds no certificate/)
  t.equal(given?.ca, readFileSync(authority, 'utf8'), 'used by its content: a reload takes what the file says then')
})

await t.test('what a reload cannot follow stays as it is in every worker, and is named', async (t) => {
  const before = parse(example)
  const next = parse(
    example
      .replace('workers:', 'stale_after: 10s\nworkers:')
      .replace('identity:', 'identity:\n  allow_other_address: true\n  user_authorities: [ssh-ed25519 AAAA]'),
  )
  t.same(waiting(before, next), ['identity.allow_other_address', 'stale_after'])
  t.match(followed(before, next), {
    stale_after: 30_000,
    identity: { allow_other_address: false, user_authorities: ['ssh-ed25519 AAAA'] },
  })
  t.same(waiting(before, parse(`${example}\n# the same`)), [])
})

await t.test('the guide to the configuration is a good one, and a role that could read nothing is named', async (t) => {
  const guide = readFileSync('docs/configuration.md', 'utf8').replace('/etc/sallyport/db-ca.pem', 'package.json')
  const text = [...guide.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block).join('\n')
  t.notMatch(explainConfig(parse(text)), 'WARNING')
  t.match(
    explainConfig(parse(text.replace(/ +template: .*\n/, ''))),
    'postgres: WARNING: without a template its login on prod-db may do what PUBLIC may, and no more',
  )
})
