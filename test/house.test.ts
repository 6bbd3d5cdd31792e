/** The plan of the house: which room may open which door, who holds which package, how long a file may be. */
import { glob, readFile } from 'node:fs/promises'
import t from 'tap'

/** Room → rooms it may import at run time. `import type` from model and session is open to all rooms of the gateway. */
const doors: Record<string, readonly string[]> = {
  'gateway/model': [],
  'gateway/session': ['gateway/model'],
  'gateway/state': ['gateway/model'],
  'gateway/grants': ['gateway/model', 'gateway/state'],
  'gateway/identity': ['gateway/model', 'gateway/state'],
  'gateway/filters': ['gateway/model'],
  'gateway/recorder': ['gateway/model'],
  'gateway/upstreams': ['gateway/model'],
  'gateway/tunnels': ['gateway/model', 'gateway/state'], // decision 0011
  'gateway/ssh': ['gateway/model', 'gateway/session'],
  'gateway/postgres': ['gateway/model', 'gateway/session'],
  'gateway/http': ['gateway/model', 'gateway/session'],
  'gateway/portal': ['gateway/model', 'gateway/session'],
  config: ['gateway/model'],
  agents: ['gateway/model', 'gateway/ssh'], // decision 0011: both ends of a line
}
/** The only files that see everybody. */
const hall = [
  'gateway',
  'supervisor',
  'worker',
  'worker-flags',
  'main',
  'telemetry',
  'counters',
  'watchdog',
  'data-directory',
  'explain',
  'health',
  'admin',
  'notifier',
  'inner-door',
  'page-wires',
  'postgres-door',
  'web-door',
].map((name) => `gateway/${name}.ts`)
/** Package → rooms that may import it. A second key needs a decision record. */
const keys: Record<string, readonly string[]> = {
  ssh2: ['gateway/ssh', 'agents'],
  'pg-protocol': ['gateway/postgres'],
  undici: ['gateway/http'],
  'openid-client': ['gateway/identity'],
  jose: ['gateway/identity'],
  '@simplewebauthn/server': ['gateway/identity'],
  fastify: ['gateway/portal'],
  'fastify-type-provider-zod': ['gateway/portal'],
  '@fastify/swagger': ['gateway/portal'],
  ws: ['gateway/portal'],
  zod: ['config', 'gateway/portal'], // decision 0007
  yaml: ['config'],
  'libpg-query': ['gateway/filters'],
  unbash: ['gateway/filters'],
  'lru-cache': ['gateway/filters'],
  re2js: ['config', 'gateway/filters'], // decision 0020
  '@clickhouse/client': ['gateway/recorder'],
  'ffi-rs': ['gateway/recorder'],
  '@lydell/node-pty': ['agents'],
  diff: ['agents'],
}
const MAX_LINES = 400

const roomOf = (path: string): string | undefined =>
  Object.keys(doors)
    .filter((room) => path.startsWith(`${room}/`))
    .toSorted((a, b) => b.length - a.length)[0]
const isFrontDoor = (path: string, room: string): boolean => path === `${room}/${room.split('/').at(-1)}.ts`
const importsOf = (source: string) =>
  [
    ...source.matchAll(
      /(?:^|\n)(?:import|export)(?<type>\s+type)?\b[^'"\n;]*?(?:\{[^}]*\}\s*)?from\s+['"](?<from>[^'"]+)['"]|\bimport\(\s*['"](?<lazy>[^'"]+)['"]/g,
    ),
  ].map(({ groups }) => ({
    from: groups?.['from'] ?? groups?.['lazy'] ?? '',
    typeOnly: groups?.['type'] !== undefined,
  }))
const packageOf = (from: string): string =>
  from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/')

for await (const file of glob('{gateway,agents,config}/**/*.ts')) {
  await t.test(file, async (t) => {
    const source = await readFile(file, 'utf8')
    t.ok(source.split('\n').length <= MAX_LINES + 1, `at most ${MAX_LINES} lines`)
    t.notMatch(source, /\bas unknown as\b|: any\b|\bas any\b|<any>/, 'no any')
    t.notMatch(source, /\bexport default\b/, 'no default export')
    t.match(source, /^(?:#!.*\n)?(\/\*\*|\/\/) ?\S|^\/\*\*\n/, 'begins with what it is')
    if (hall.includes(file)) return
    const room = roomOf(file)
    t.ok(room, 'stands in a known room')
    if (room === undefined) return
    if (file !== 'config/load.ts') t.notMatch(source, /\bprocess\.env\b/, 'the environment is read once, by config')
    for (const { from, typeOnly } of importsOf(source)) {
      if (!from.startsWith('.')) {
        const name = packageOf(from)
        if (from.startsWith('node:')) {
          if (from === 'node:sqlite') t.equal(room, 'gateway/state', 'node:sqlite is opened by state/')
        } else t.ok(keys[name]?.includes(room), `${name} is opened here`, { file, from })
        continue
      }
      if (from.endsWith('.json')) continue
      const target = new URL(from, `file:///${file}`).pathname.slice(1)
      const other = roomOf(target)
      if (other === room) continue
      const window = typeOnly && (other === 'gateway/model' || other === 'gateway/session')
      t.ok(window || doors[room]?.includes(other ?? ''), `${room} → ${other ?? target}`, { file, from })
      if (other !== 'gateway/model')
        t.ok(isFrontDoor(target, other ?? ''), 'comes in by the front door', { file, from })
    }
  })
}
