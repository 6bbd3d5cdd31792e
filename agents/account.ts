/** Accounts of this host, and who of them this process can become: itself, or anybody when it is root. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'

export type Account = {
  readonly name: string
  readonly home: string
  readonly shell: string
  /** What stands before a program so that it runs as this account; empty for our own. */
  readonly become: readonly string[]
}

const SETPRIV = '/usr/bin/setpriv'
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}$/

/** Undefined: there is no such account, or this process cannot become it. */
export function accountNamed(name: string): Account | undefined {
  if (!NAME.test(name)) return undefined
  const own = userInfo()
  if (own.username === name) return { name, home: own.homedir, shell: own.shell ?? '/bin/sh', become: [] }
  // Node's own uid and gid options drop or keep the wrong supplementary groups; setpriv gives the account's.
  if (own.uid !== 0 || !existsSync(SETPRIV)) return undefined
  const { status, stdout } = spawnSync('/usr/bin/getent', ['passwd', name], { env: {}, encoding: 'utf8' })
  const [found, , uid = '', gid = '', , home = '/', shell = ''] = status === 0 ? stdout.trim().split(':') : []
  if (found !== name || !/^\d+$/.test(uid) || !/^\d+$/.test(gid)) return undefined
  return {
    name,
    home: existsSync(home) ? home : '/',
    shell: shell === '' ? '/bin/sh' : shell,
    become: [SETPRIV, `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--'],
  }
}
