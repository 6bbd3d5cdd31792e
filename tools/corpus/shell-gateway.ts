/** Command lines through a real gateway: an ssh client, a role with a read-only shell, an sshd as the target. Directly means: to that sshd, as the same account. */
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sshClient } from '../../test/fixtures/ssh-client.ts'
import { startGateway, type TestGateway } from '../../test/fixtures/ssh-engine.ts'
import { type Sshd, startSshd, type Teardown } from '../../test/fixtures/sshd.ts'
import { CORPUS_DIRECTORY, photograph } from '../../test/fixtures/shell-workspace.ts'
import type { Answer, Direct, Ran, Runner, ShellRow } from './shell.ts'

const PATIENCE_MS = 3000
const ME = 'alice%prod-db@127.0.0.1'

export type GatewayRunner = Runner & { readonly direct: Direct; readonly sshd: Sshd; readonly gateway: TestGateway }

/** @param refill puts the files of the corpus back after a row that changed them. */
export async function gatewayRunner(refill: () => void): Promise<GatewayRunner> {
  const endings: (() => unknown)[] = []
  const t: Teardown = { teardown: (end) => void endings.push(end) }
  let sshd: Sshd | undefined
  const gateway = await startGateway(t, () => sshd, { shell: 'read-only' })
  sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority })
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts, `[127.0.0.1]:${sshd.port} ${sshd.hostKey}`)
  gateway.allowed.add(client.fingerprint)
  writeFileSync(join(sshd.directory, 'authorized_keys'), `${client.publicKey}\n`)

  const through = await line(t, join(client.directory, 'through'), client.options, ME)
  const straight = await line(
    t,
    join(client.directory, 'straight'),
    ['-o', `Port=${sshd.port}`, ...client.options],
    `${sshd.account}@127.0.0.1`,
  )
  return {
    name: 'ssh through a gateway',
    sshd,
    gateway,
    run: async (row) => {
      const before = seen()
      const answer = await through(...asked(row))
      const verdicts = gateway.recorder.json('s').filter(({ text }) => text === row.cmd)
      const verdict = verdicts.at(-1)?.['verdict']
      const hadEffect = seen() !== before
      if (hadEffect) refill()
      return (
        refusal(verdict) ?? { refused: false, hadEffect, output: known(row, answer.output), exitCode: answer.exitCode }
      )
    },
    direct: async (row) => {
      const command = row.cwd === undefined ? row.cmd : `cd ${row.cwd}; ${row.cmd}`
      const { exitCode, output } = await straight(row.pty === true ? ['-tt'] : ['-T'], command, typed(row))
      return { exitCode, output: known(row, output) }
    },
    close: async () => {
      for (const end of endings.toReversed()) await end()
    },
  }
}

const seen = (): string => (existsSync(CORPUS_DIRECTORY) ? photograph(CORPUS_DIRECTORY).join('\n') : '')

function refusal(verdict: unknown): Ran | undefined {
  if (typeof verdict !== 'object' || verdict === null) return { refused: true, reason: 'was never judged' }
  if (!('reason' in verdict)) return undefined
  return { refused: true, reason: String(verdict.reason) }
}

const typed = ({ keys, stdin = '' }: ShellRow): string => keys?.replaceAll('\n', '\r') ?? stdin

/** What starts somewhere goes there first, in a shell that reads a pipe; what no argument of a program can hold is said there, too. */
function asked(row: ShellRow): readonly [readonly string[], string | undefined, string] {
  if (row.cwd === undefined && !row.cmd.includes('\0'))
    return [row.pty === true ? ['-tt'] : ['-T'], row.cmd, typed(row)]
  return [['-T'], undefined, `${row.cwd === undefined ? '' : `cd ${row.cwd}\n`}${row.cmd}\n`]
}

/** What the gateway sets for every command, and what belongs to one connection. */
const OURS = /^(?:SSH_\w+|LC_SALLYPORT_SESSION|PAGER|MANPAGER|SYSTEMD_PAGER|LESSSECURE|LESSHISTFILE|PATH|TERM)=/
const known = ({ cmd }: ShellRow, output: string): string =>
  /^\s*(?:\/usr\/bin\/|\/bin\/)?(?:env|printenv)\b/.test(cmd)
    ? output
        .split('\n')
        .filter((text) => !OURS.test(text))
        .join('\n')
    : output

type Line = (options: readonly string[], command: string | undefined, input: string) => Promise<Answer>

/** One connection for many commands. */
async function line(t: Teardown, path: string, options: readonly string[], to: string): Promise<Line> {
  const master = spawn('ssh', [...options, '-M', '-S', path, '-N', to], { stdio: 'ignore' })
  t.teardown(() => master.kill('SIGKILL'))
  for (let tries = 0; !existsSync(path); tries += 1) {
    if (tries > 200) throw new Error('The connection for the corpus did not come up.')
    await sleep(50)
  }
  return async (more, command, input) => {
    const child = spawn('ssh', [...options, '-S', path, ...more, to, ...(command === undefined ? [] : [command])])
    const [out, errors]: [Buffer[], Buffer[]] = [[], []]
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
    child.stderr.on('data', (bytes: Buffer) => errors.push(bytes))
    child.stdin.on('error', () => undefined)
    // A program with a terminal takes its keys once it has shown itself.
    if (more.includes('-tt')) setTimeout(() => child.stdin.write(input), 700)
    else child.stdin.end(input)
    const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS)
    const [code] = await new Promise<readonly [number | null]>((resolve) =>
      child.once('close', (status) => resolve([status])),
    )
    clearTimeout(timer)
    return { output: Buffer.concat([...out, ...errors]).toString(), exitCode: code }
  }
}
