/** Workspaces, by people who want out: real ssh, the gateway's engine, an agent's shell in a process of its own. What the kernel must refuse is tried, one by one. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from "tap"
import type { WorkspaceScope } from '../../gateway/model/role.ts'
import { type SshClient, sshClient } from '../fixtures/ssh-client.ts'
import { startGateway, type TestGateway } from '../fixtures/ssh-engine.ts'
import { missingClient, type Teardown } from '../fixtures/sshd.ts'
import { startWorkspaceHost, type WorkspaceHost } from '../fixtures/workspace-host.ts'

const ME = 'alice%prod-db@127.0.0.1'
const PYTHON = ['/usr/bin/python3', '/usr/local/bin/python3'].find((path) => existsSync(path))

const SCOPE: WorkspaceScope = {
  mode: 'read-only',
  network: 'none',
  isImplied: false,
  memoryMegabytes: 256,
  tasks: 64,
  cpus: 1,
  changesMegabytes: 16,
}

type House = {
  readonly host: WorkspaceHost
  readonly gateway: TestGateway
  readonly client: SshClient
  run(line: string): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>
}

/** @param as who the agent is. */
async function house(
  t: Teardown,
  account: string,
  scope: Partial<WorkspaceScope>,
  given: { readonly as?: Parameters<typeof startWorkspaceHost>[2]; readonly host?: WorkspaceHost; readonly shell?: 'read-only'; readonly keys?: string } = {},
): Promise<House> {
  let host: WorkspaceHost | undefined = given.host
  const keys = given.keys ?? mkdtempSync('/tmp/sallyport-keys-')
  const options = { ...(given.shell && { shell: given.shell }), account, keyDirectory: keys, workspace: { ...SCOPE, ...scope } }
  const agent = { key: () => host?.hostKey ?? '', workspaces: undefined }
  const first = await startGateway(t, () => undefined, options)
  host ??= await startWorkspaceHost(t, first.engine.keys.userAuthority, given.as)
  const gateway = await startGateway(t, () => undefined, { ...options, agent, targetPort: host.port })
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts)
  gateway.allowed.add(client.fingerprint)
  return {
    host,
    gateway,
    client,
    run: async (line) => {
      const { code, stderr, stdout } = await client.ssh([ME, line])
      return { code, out: stdout.toString(), err: stderr }
    },
  }
}

const isRoot = process.getuid?.() === 0
const skip =
  missingClient() ?? (process.platform === 'linux' && isRoot ? false : 'workspaces are tried out as root on Linux, for several accounts')

/** Lines of attempts: each must fail, and must leave the host as it was. `$D` is a directory of the host that everybody may write. */
const ATTEMPTS: readonly (readonly [what: string, line: string])[] = [
  ['a file', 'echo x >$D/made'],
  ['a change', 'echo x >>$D/file'],
  ['a file that is open to all', 'chmod 777 $D/file'],
  ['a hard link', 'ln $D/file $D/hard'],
  ['a name of /etc', 'echo x >/etc/sallyport-made'],
  ['through /proc/self/root', 'echo x >/proc/self/root$D/made'],
  ['through /proc/1/root', 'echo x >/proc/1/root$D/made'],
  ['through the directory of init', 'echo x >/proc/1/cwd$D/made'],
  ['the pattern of cores', 'echo "|/bin/touch $D/made" >/proc/sys/kernel/core_pattern'],
  ['a setting of the kernel', 'echo 1 >/proc/sys/vm/drop_caches'],
  ['sysrq', 'echo h >/proc/sysrq-trigger'],
  ['a remount', 'mount -o remount,rw /'],
  ['a remount of one mount', 'mount -o remount,bind,rw /'],
  ['a bind', 'mount --bind /tmp $D'],
  ['a file system', 'mount -t tmpfs none $D'],
  ['an overlay', `mkdir /tmp/u /tmp/w; mount -t overlay none -o lowerdir=$D,upperdir=/tmp/u,workdir=/tmp/w $D`],
  ['taking the private /tmp away', 'umount /tmp'],
  ['taking /proc away', 'umount /proc'],
  ['a namespace of users', 'unshare --user --map-root-user true'],
  ['a namespace of mounts', 'unshare --mount true'],
  ['both', 'unshare --user --map-root-user --mount mount -o remount,bind,rw /'],
  ['the namespaces of init', 'nsenter --target 1 --mount true'],
  ['its users', 'nsenter --target 1 --user true'],
  ['another root', 'chroot / true'],
  ['a device', 'mknod /tmp/disk b 8 0'],
  ['a device of memory', 'mknod /tmp/mem c 1 1'],
  ['a cgroup', 'mkdir /sys/fs/cgroup/sallyport-made'],
  ['a release agent', `mkdir /tmp/c; mount -t cgroup -o memory cgroup /tmp/c`],
  ['a program of init', 'kill -9 1 && ! kill -0 1'],
  ['the environment of init', 'cat /proc/1/environ | grep -q .'],
  ['the memory of init', 'head -c1 /proc/1/mem'],
]

async function escapes(t: Test, { host, run }: House, account: string): Promise<void> {
  const directory = mkdtempSync('/var/lib/sallyport-escape-')
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  execFileSync('chmod', ['777', directory])
  writeFileSync(join(directory, 'file'), 'as it was\n')
  execFileSync('chmod', ['666', join(directory, 'file')])
  const before = photograph(directory)

  for (const [what, line] of ATTEMPTS) {
    // In one round: each attempt says by itself whether it succeeded.
    void what
    void line
  }
  const script = ATTEMPTS.map(([, line], n) => `if ( ${line} ) >/dev/null 2>&1; then echo "through ${n}"; fi`).join('\n')
  const { out } = await run(`D=${directory}; ${script}\necho all tried`)
  t.match(out, /all tried/)
  for (const [n, [what]] of ATTEMPTS.entries()) t.notMatch(out, new RegExp(`^through ${n}$`, 'm'), `refused: ${what}`)
  t.same(photograph(directory), before, 'the host is as it was')
  t.notOk(existsSync('/etc/sallyport-made'))

  t.match(await run('id -un; cat /proc/self/status'), { out: new RegExp(`^${account}\\n[^]*CapEff:\\s0+\\n[^]*NoNewPrivs:\\s1`) })
  t.match((await run('ls /dev')).out.trim().split('\n').toSorted().join(' '), /^fd full null ptmx pts random shm stderr stdin stdout tty urandom zero$/)
  t.match(await run(`ls ${host.directory}; ls -la /run`), { out: /^total/ }, 'its own keys are not there, nor is /run')
  t.match(await run('echo kept >/tmp/a && echo kept >/dev/shm/b && echo kept >/var/tmp/c && cat /tmp/a /dev/shm/b /var/tmp/c'), { out: 'kept\nkept\nkept\n' })
  t.match(await run('cat /tmp/a /dev/shm/b'), { code: 1 }, 'the next session finds nothing of it')
  for (const path of ['/dev/shm/b', '/var/tmp/c']) t.notOk(existsSync(path))
}

const photograph = (directory: string): readonly string[] =>
  execFileSync('find', [directory, '-printf', '%p %m %s %l %T@ %n\n']).toString().split('\n').toSorted()

const leftovers = (): readonly string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ')
        return /314159|unshare --mount --pid/.test(words) ? [`${name} ${words}`] : []
      } catch {
        return []
      }
    })

t.test('a read-only workspace', { skip }, async (t) => {
  const { uid, gid, username } = userInfo()
  void [uid, gid]
  const root = await house(t, username, {})
  t.match(root.host.words, /^workspaces: read-only, overlay/)
  await t.test('root finds no way out', (t) => escapes(t, root, username))
})
