/** The demo's hosts: OpenSSH's sshd where it is installed, else the agent's small built-in one. Both trust only the gateway's user CA. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'

export type DemoHost = {
  readonly name: string
  readonly port: number
  /** The line that pins it: `ssh-ed25519 AAAA…`. */
  readonly hostKey: string
  /** The login: whoever runs the demo, because only root's sshd could log in anybody else. */
  readonly account: string
  readonly kind: 'sshd' | 'built-in'
  stop(): Promise<void>
}

const SSHD = '/usr/sbin/sshd'
const keygen = (...args: readonly string[]) => spawnSync('ssh-keygen', args, { encoding: 'utf8' })

/** @param userAuthority the public line of the CA whose user certificates open the host. */
export async function startHost(name: string, dir: string, port: number, userAuthority: string): Promise<DemoHost> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  writeFileSync(join(dir, 'user_ca.pub'), `${userAuthority}\n`)
  const account = userInfo().username
  if (runs(SSHD) && keygen('--help').error === undefined) return startSshd(name, dir, port, account)
  const { startShellHost } = await import('../../agents/shell.ts')
  const host = await startShellHost({ port, host: '127.0.0.1', keyDirectory: dir, userAuthority, account })
  return { name, port: host.port, hostKey: host.hostKey, account, kind: 'built-in', stop: () => host.close() }
}

function runs(program: string): boolean {
  try {
    accessSync(program, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function startSshd(name: string, dir: string, port: number, account: string): Promise<DemoHost> {
  const key = join(dir, 'ssh_host_ed25519_key')
  if (!existsSync(key)) keygen('-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', key)
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  const config = join(dir, 'sshd_config')
  const home = join(dir, 'home')
  mkdirSync(home, { recursive: true })
  writeFileSync(
    config,
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${key}`,
      `PidFile ${join(dir, 'sshd.pid')}`,
      `TrustedUserCAKeys ${join(dir, 'user_ca.pub')}`,
      'AuthorizedKeysFile none',
      'AuthenticationMethods publickey',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      'UsePAM no',
      'StrictModes no',
      'AllowTcpForwarding yes',
      'MaxStartups 100:30:200',
      'MaxSessions 100',
      'PrintMotd no',
      'AcceptEnv LANG LC_* COLORTERM',
      // A home of its own: what somebody has in their dotfiles is not the demo's affair.
      `SetEnv HOME=${home}`,
      'Subsystem sftp internal-sftp',
      '',
    ].join('\n'),
  )
  endLeftOver(dir, config)
  const child = spawn(SSHD, ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-2000)
  })
  await answers(child, port, () => said)
  const [type = '', line = ''] = readFileSync(`${key}.pub`, 'utf8').split(' ')
  return { name, port, hostKey: `${type} ${line}`, account, kind: 'sshd', stop: () => stopChild(child) }
}

/** The sshd of a demo that was killed: it serves nobody any more. */
function endLeftOver(dir: string, config: string): void {
  try {
    const pid = Number(readFileSync(join(dir, 'sshd.pid'), 'utf8'))
    if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(config)) process.kill(pid, 'SIGTERM')
  } catch {
    // There is none.
  }
}

async function answers(child: ChildProcess, port: number, said: () => string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (child.exitCode !== null) throw new Error(`sshd ended: ${said()}`)
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
        .once('connect', () => {
          resolve(true)
          socket.destroy()
        })
        .once('error', () => resolve(false))
        .once('close', () => resolve(false))
        .setTimeout(1000, () => socket.destroy())
    })
    if (up) return
    await new Promise((wake) => setTimeout(wake, 50))
  }
  throw new Error(`sshd does not answer on port ${port}: ${said()}`)
}

/** SIGTERM, and SIGKILL after a second. */
async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 1000)
  await gone
  clearTimeout(late)
}
