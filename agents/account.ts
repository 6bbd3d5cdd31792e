/** Accounts of this host, and who of them this process can become: itself, or anybody when it is root. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'

export type Account = {
  readonly name: string
  readonly uid: number
  readonly gid: number
  /** All of them, the first one too. */
  readonly groups: readonly number[]
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
  const { gid, homedir: home, shell, uid } = own
  if (own.username === name)
    return { name, uid, gid, groups: process.getgroups?.() ?? [gid], home, shell: shell ?? '/bin/sh', become: [] }
  // Node's own uid and gid options drop or keep the wrong supplementary groups; setpriv gives the account's.
  if (own.uid !== 0 || !existsSync(SETPRIV)) return undefined
  return another(name)
}

function ask(program: string, ...args: readonly string[]): string {
  const { status, stdout } = spawnSync(program, args, { env: {}, encoding: 'utf8' })
  return status === 0 ? stdout.trim() : ''
}

function another(name: string): Account | undefined {
  const [found, , uid = '', gid = '', , home = '/', shell = ''] = ask('/usr/bin/getent', 'passwd', name).split(':')
  if (found !== name || !/^\d+$/.test(uid) || !/^\d+$/.test(gid)) return undefined
  const groups = ask('/usr/bin/id', '-G', '--', name).split(' ')
  if (!groups.every((group) => /^\d+$/.test(group))) return undefined
  return {
    name,
    uid: Number(uid),
    gid: Number(gid),
    groups: groups.map(Number),
    home: existsSync(home) ? home : '/',
    shell: shell === '' ? '/bin/sh' : shell,
    become: [SETPRIV, `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--'],
  }
}
