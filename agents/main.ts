/** The agent's program: serves a shell on its own host to the gateway. */
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { parseArgs } from 'node:util'
import { startShellHost } from './shell.ts'

const USAGE = `usage: npm run agent -- --keys DIRECTORY --user-ca FILE [--host 127.0.0.1] [--port 2222]

  --keys     where the host key is kept; made at first start
  --user-ca  the public key of the gateway's user CA (its data directory, keys/ssh-user-ca.pem.pub)
`

const { values } = parseArgs({
  options: {
    keys: { type: 'string' },
    'user-ca': { type: 'string' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '2222' },
    help: { type: 'boolean', default: false },
  },
})
const { host, keys, port, 'user-ca': authority } = values
if (values.help || keys === undefined || authority === undefined) {
  process.stderr.write(USAGE)
  process.exitCode = values.help ? 0 : 2
} else {
  const shell = await startShellHost({
    host,
    port: Number(port),
    keyDirectory: keys,
    userAuthority: readFileSync(authority, 'utf8').trim(),
    account: userInfo().username,
  })
  process.stdout.write(
    `A shell for the gateway on ${host}:${shell.port}. Its host key, for the target's trust:\n${shell.hostKey}\n`,
  )
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void shell.close())
}
