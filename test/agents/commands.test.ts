/** Granted commands: how they are written, and what may be typed for them. */
import { readFileSync } from 'node:fs'
import ssh2 from 'ssh2'
import t from 'tap'
import { newKey } from '../../agents/key.ts'
import { parseTemplate } from '../../config/commands.ts'
import { parseConfig } from '../../config/load.ts'
import { allowsOf } from '../../gateway/model/role-words.ts'
import type { CommandGrant, Role } from '../../gateway/model/role.ts'
import { grantedCommand, isGrantedCommand, usageOf } from '../../gateway/ssh/command-grants.ts'

const grant = (name: string, template: string): CommandGrant => ({
  name,
  description: '',
  template,
  ...parseTemplate(template),
  timeoutMs: 1000,
  maxBytes: 1000,
})
const role = {
  name: 'logs',
  ssh: {
    shell: 'none',
    forward: [],
    commands: [
      grant('logs', 'tail -n {lines:int 1..10000} /var/log/{app:enum orders,billing}.log'),
      grant('restart', 'systemctl restart {unit:name = orders}.service'),
    ],
  },
} as unknown as Role

await t.test('the words of the operator, and values that fit', async (t) => {
  const command = grantedCommand(role, 'logs app=orders lines=200')
  t.same(command.argv, ['tail', '-n', '200', '/var/log/orders.log'])
  t.equal(command.text, 'tail -n 200 /var/log/orders.log')
  t.same(grantedCommand(role, ' restart ').argv, ['systemctl', 'restart', 'orders.service'])
  t.equal(usageOf(command.grant), 'logs lines=1..10000 app=orders|billing')
  t.ok(isGrantedCommand(command))
  t.notOk(isGrantedCommand({ grant: command.grant, argv: command.argv }), 'nothing else is taken for one')
})

await t.test('everything else is refused, with the usage', async (t) => {
  for (const line of [
    '',
    'sh -c id',
    'tail -n 5 /etc/shadow',
    'logs',
    'logs app=orders',
    'logs lines=200',
    'logs app=orders lines=0',
    'logs app=orders lines=10001',
    'logs app=orders lines=0200',
    'logs app=orders lines=1e3',
    'logs app=orders lines=-5',
    'logs app=orders lines=+5',
    'logs app=orders lines=5;id',
    'logs app=orders lines=$(id)',
    'logs app=orders lines=5 lines=6',
    'logs app=../../etc/shadow lines=5',
    'logs app=Orders lines=5',
    'logs app=orders lines=5 ; id',
    'logs app=orders lines=5 | sh',
    'logs app=orders lines=5 -f',
    'logs --app=orders lines=5',
    'logs app=orders lines=5\nid',
    'logs "app=orders" lines=5',
    'LOGS app=orders lines=5',
    'logs;id app=orders lines=5',
    'logs constructor=x app=orders lines=5',
    'restart unit=--force',
    'restart unit=../x',
    'restart unit=a/b',
    'restart unit=',
    'restart unit=é',
    'restart unit=a\u0000b',
  ])
    t.throws(() => grantedCommand(role, line), { name: 'Refusal' }, JSON.stringify(line))
})

await t.test('a template that only a shell could read is refused where it is written', async (t) => {
  for (const bad of [
    '',
    '{x:name} y',
    'cat $HOME',
    'cat `id`',
    "cat 'a b'",
    'cat "x"',
    'cat \\x',
    'cat {x}',
    'cat {x:any}',
    'cat {x:int 5..1}',
    'cat {x:int}',
    'cat {x:enum}',
    'cat {x:enum a;b}',
    'cat {x:enum -a}',
    'cat {x:name} {x:name}',
    'cat {x:int 1..5=9}',
    'cat }',
    'cat {x:name',
    Array.from({ length: 70 }, () => 'x').join(' '),
  ])
    t.throws(() => parseTemplate(bad), Error, JSON.stringify(bad))
  t.same(parseTemplate('ls  *').argv, [[{ text: 'ls' }], [{ text: '*' }]], 'a star stays a star')
})

const parse = (text: string) => parseConfig(text, 'gate.yaml', [], { SALLYPORT_DATA: './data' })

await t.test('a configuration with agents and granted commands', async (t) => {
  const example = readFileSync('config/example.yaml', 'utf8')
  const behind = example.replace('address: target:22', 'agent: prod-db').replace(/ +known_hosts: .*\n/, '')
  const granted = behind.replace(
    'ssh: { shell: full }',
    'ssh: { commands: { logs: "tail -n {lines:int 1..9=5} /var/log/x", df: { run: df -h, timeout: 5s, output_megabytes: 0.5 } } }',
  )
  const { roles, targets } = parse(granted)
  t.match(targets[0]?.ssh, { agent: 'prod-db', account: 'deploy', trust: { keys: [] }, credential: { kind: 'ca' } })
  t.match(roles[0]?.ssh, {
    shell: 'none',
    commands: [
      { name: 'logs', parameters: [{ name: 'lines', fallback: '5' }], timeoutMs: 300_000 },
      { name: 'df', timeoutMs: 5000, maxBytes: 524_288 },
    ],
  })
  const complaints: readonly (readonly [string, RegExp])[] = [
    [
      example.replace('address: target:22', 'address: target:22\n      agent: prod-db'),
      /exactly one of address .* and agent/,
    ],
    [example.replace('      address: target:22\n', ''), /exactly one of address .* and agent/],
    [behind.replace('agent: prod-db', 'agent: Prod/db'), /lower-case letters/],
    [granted.replace('1..9=5', '1..9=50'), /gate\.yaml:\d+:\d+: roles\.operator\.ssh/],
    [granted.replace('/var/log/x', '$HOME'), /gate\.yaml:\d+:\d+: roles\.operator\.ssh/],
  ]
  for (const [text, expected] of complaints) t.throws(() => parse(text), { message: expected })
})

await t.test('a new key can always be read', async (t) => {
  for (let n = 0; n < 600; n++) if (ssh2.utils.parseKey(newKey()) instanceof Error) t.fail(`key ${n}`)
  t.pass('six hundred keys')
})

await t.test('a configuration with workspaces, and what it means in plain words', async (t) => {
  const example = readFileSync('config/example.yaml', 'utf8')
  const ssh = (words: string): Role | undefined =>
    parse(example.replace('ssh: { shell: full }', `ssh: { ${words} }`)).roles[0]
  const meaning = (words: string) => {
    const role = ssh(words)
    return role === undefined ? '' : allowsOf(role, 'ssh').join(' ')
  }
  t.equal(ssh('shell: full')?.ssh.workspace, undefined)
  t.match(ssh('shell: read-only')?.ssh.workspace, { mode: 'read-only', network: 'host', isImplied: true })
  t.match(meaning('shell: read-only'), /On hosts with an agent in a workspace where the kernel refuses every write/)
  t.equal(ssh('shell: read-only, dangerously_without_workspace: true')?.ssh.workspace, undefined)
  t.match(
    meaning('shell: read-only, dangerously_without_workspace: true'),
    /Without a workspace: only the judge of the gateway stands between people and the host/,
  )
  t.match(ssh('shell: full, workspace: overlay, limits: { tasks: 9 }')?.ssh.workspace, {
    mode: 'overlay',
    network: 'none',
    isImplied: false,
    tasks: 9,
    keep: undefined,
  })
  t.match(meaning('shell: full, workspace: overlay'), /recorded with its diff, and then thrown away; no network/)
  t.match(
    meaning('shell: full, workspace: overlay, keep: { for: 24h, approvers: [leads] }'),
    /kept for .* until one person of leads applies it/,
  )
  for (const [words, expected] of [
    ['shell: read-only, workspace: overlay', /nothing to write into an overlay/],
    ['shell: full, network: none', /network and limits belong to a workspace/],
    ['shell: full, dangerously_without_workspace: true', /contradicts a workspace|is for shell: read-only/],
    ['shell: full, workspace: read-only, forward: ["db:5432"]', /past the workspace/],
    ['shell: full, workspace: read-only, keep: { for: 1h, approvers: [leads] }', /keep belongs to workspace: overlay/],
    ['shell: full, workspace: overlay, keep: { for: 31d, approvers: [leads] }', /30 days at most/],
    ['shell: full, workspace: chroot', /workspace/],
  ] as const)
    t.throws(() => ssh(words), { message: expected }, words)
})
