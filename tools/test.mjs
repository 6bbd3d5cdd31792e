// `npm test`: installs the system programs that the tests drive (Debian, root), then runs tap. Arguments go to tap.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = dirname(import.meta.dirname)
process.chdir(root)

/** Program → Debian package. A test whose program is missing skips itself and says so. */
const programs = {
  '/usr/sbin/sshd': 'openssh-server',
  '/usr/bin/ssh': 'openssh-client',
  '/usr/bin/psql': 'postgresql-client',
  '/usr/lib/postgresql/15/bin/postgres': 'postgresql-15',
  '/usr/bin/chromium': 'chromium',
  '/usr/bin/python3': 'python3',
  '/usr/bin/curl': 'curl',
  '/usr/bin/openssl': 'openssl',
  '/usr/lib/python3/dist-packages/psycopg2': 'python3-psycopg2',
  '/usr/lib/python3/dist-packages/psycopg': 'python3-psycopg',
  '/usr/share/java/postgresql.jar': 'libpostgresql-jdbc-java',
  '/usr/bin/javac': 'default-jdk-headless',
}
const missing = Object.entries(programs).flatMap(([path, name]) => (existsSync(path) ? [] : [name]))
if (missing.length > 0 && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
  console.log(`installing what the tests drive: ${missing.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // No service of a package is started: every test starts its own, on free ports.
  const policy = '/usr/sbin/policy-rc.d'
  const mine = !existsSync(policy)
  if (mine) spawnSync('sh', ['-c', `printf '#!/bin/sh\\nexit 101\\n' > ${policy} && chmod 755 ${policy}`])
  spawnSync('apt-get', ['update', '-qq'], { stdio: 'inherit', env })
  spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env,
  })
  if (mine) spawnSync('rm', ['-f', policy])
} else if (missing.length > 0) console.log(`not installed, their tests are skipped: ${missing.join(' ')}`)

const local = join(root, 'node_modules/.bin')
const env = { ...process.env, PATH: `${local}:${process.env.PATH}` }
if (!existsSync('web-terminal/dist/index.html')) {
  const built = spawnSync(join(local, 'vite'), ['build', 'web-terminal', '--logLevel', 'warn'], {
    stdio: 'inherit',
    env,
  })
  if (built.status !== 0) process.exit(built.status ?? 1)
}
const run = spawnSync(join(local, 'tap'), process.argv.slice(2), { stdio: 'inherit', env })
process.exit(run.status ?? 1)
