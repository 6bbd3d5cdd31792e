/** Workspaces, by people who want out: real ssh, the gateway's engine, an agent's shell in a process of its own. What the kernel must refuse is tried, one by one. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { photograph } from '../fixtures/shell-workspace.ts'
import { missingClient } from '../fixtures/sshd.ts'
import { canBeReadByAll, type Outfit } from '../fixtures/workspace-host.ts'
import { type House, house, leftovers } from '../fixtures/workspaces.ts'
import { until } from '../fixtures/until.ts'

const isRoot = process.getuid?.() === 0
const skip =
  missingClient() ??
  (process.platform === 'linux' && isRoot ? false : 'workspaces are tried as root on Linux, for several accounts')

/** An ordinary account with a shell, for as long as the test runs. */
function ordinary(t: Test): {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
} {
  const name = `sallyport-t${process.pid % 100_000}`
  const home = `/var/lib/${name}`
  execFileSync('/usr/sbin/useradd', ['--create-home', '--home-dir', home, '--shell', '/bin/bash', name])
  t.teardown(() => void spawnSync('/usr/sbin/userdel', ['--remove', '--force', name]))
  const id = (option: string) => Number(execFileSync('id', [option, name]).toString())
  return { name, uid: id('-u'), gid: id('-g'), home }
}

/** Each must fail, and must leave the host as it was. `$D` is a directory of the host that everybody may write. */
const ATTEMPTS: readonly (readonly [what: string, line: string])[] = [
  ['a file', 'echo x >$D/made'],
  ['a change', 'echo x >>$D/file'],
  ['a mode', 'chmod 777 $D/file'],
  ['a hard link', 'ln $D/file $D/hard'],
  ['a link out of /tmp', 'ln $D/file /tmp/hard'],
  ['through a symbolic link in /tmp', 'ln -s $D /tmp/there; echo x >/tmp/there/made'],
  ['a name of /etc', 'echo x >/etc/sallyport-made'],
  ['through /proc/self/root', 'echo x >/proc/self/root$D/made'],
  ['through /proc/self/cwd', 'cd $D; echo x >/proc/self/cwd/made'],
  ['through /proc/1/root', 'echo x >/proc/1/root$D/made'],
  ['through the directory of init', 'echo x >/proc/1/cwd$D/made'],
  ['through a descriptor opened for reading', 'exec 3<$D/file; echo x >/proc/self/fd/3'],
  ['the pattern of cores', 'echo "|/bin/touch $D/made" >/proc/sys/kernel/core_pattern'],
  ['a setting of the kernel', 'echo 1 >/proc/sys/vm/drop_caches'],
  ['sysrq', 'echo h >/proc/sysrq-trigger'],
  ['a remount', 'mount -o remount,rw /'],
  ['a remount of one mount', 'mount -o remount,bind,rw /'],
  ['a bind', 'mount --bind /tmp $D'],
  ['a file system', 'mount -t tmpfs none $D'],
  ['an overlay', 'mkdir /tmp/u /tmp/w; mount -t overlay none -o lowerdir=$D,upperdir=/tmp/u,workdir=/tmp/w $D'],
  ['taking the private /tmp away', 'umount /tmp'],
  ['taking /proc away', 'umount -l /proc'],
  ['a namespace of users', 'unshare --user --map-root-user true'],
  ['a namespace of mounts', 'unshare --mount true'],
  ['both', 'unshare --user --map-root-user --mount mount -o remount,bind,rw /'],
  ['the mounts of init', 'nsenter --target 1 --mount true'],
  ['the users of init', 'nsenter --target 1 --user true'],
  ['another root', 'chroot / true'],
  ['a disk', 'mknod /tmp/disk b 8 0'],
  ['the memory of the machine', 'mknod /tmp/mem c 1 1'],
  ['a new cgroup', 'mkdir /sys/fs/cgroup/sallyport-made'],
  ['a release agent', 'mkdir /tmp/c; mount -t cgroup -o memory cgroup /tmp/c'],
  ['the end of init', 'kill -9 1; ! [ -d /proc/1 ]'],
  ['the environment of init', 'grep -q . /proc/1/environ'],
  ['the memory of init', 'head -c1 /proc/1/mem'],
  ['tracing init', "perl -e 'exit(syscall(101, 16, 1, 0, 0) == 0 ? 0 : 1)'"],
  // struct file_handle of 8 bytes, type 1, at the root.
  [
    'a file by its handle',
    `perl -e '$h = pack("II", 8, 1) . "\\2\\0\\0\\0\\0\\0\\0\\0"; open(F, "<", "/"); exit(syscall(304, fileno(F), $h, 0) >= 0 ? 0 : 1)'`,
  ],
  ['a module', 'perl -e \'exit(syscall(313, 0, "", 0) == 0 ? 0 : 1)\''],
  // open_tree(2) of the root, as a copy that could be mounted; mount_setattr(2) that takes read-only away.
  ['a copy of a mount', `perl -e 'exit(syscall(428, -100, "/", 1) >= 0 ? 0 : 1)'`],
  [
    'read-only taken from a mount',
    `perl -e 'exit(syscall(442, -100, "/", 0, pack("Q4", 0, 1, 0, 0), 32) == 0 ? 0 : 1)'`,
  ],
  ['a file system by its new calls', `perl -e 'exit(syscall(430, "tmpfs", 0) >= 0 ? 0 : 1)'`],
  ['other namespaces', 'for n in net ipc pid uts cgroup time; do unshare --$n true && exit 0; done; false'],
  // pidfd_getfd(2): the pipe on which init is told what to do.
  ['a descriptor of init', `perl -e '$p = syscall(434, 1, 0); exit(syscall(438, $p, 0, 0) >= 0 ? 0 : 1)'`],
  ['what init is told', 'readlink /proc/1/fd/0 || { echo "touch $D/made" >/proc/1/fd/0; }'],
  ['the program that runs it, overwritten', ': >>/proc/self/exe'],
  ['another interpreter for programs', 'echo ":x:M::MZ::/bin/sh:C" >/proc/sys/fs/binfmt_misc/register'],
  ['a helper for events of devices', 'echo $D/setuid >/sys/kernel/uevent_helper'],
  ['a helper that loads modules', 'echo $D/setuid >/proc/sys/kernel/modprobe'],
  [
    'a helper for cgroups that are empty',
    'for f in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent; do echo $D/setuid >$f && exit 0; done; false',
  ],
  ['the log of the kernel', 'echo x >/dev/kmsg; [ -e /dev/kmsg ]'],
  ['an empty log of the kernel', 'dmesg --clear'],
  // bpf(2): a program for a probe of the kernel.
  [
    'a program in the kernel',
    `perl -e '$i = pack("C16", 183, (0) x 7, 149, (0) x 7); $a = pack("LLPPx96", 2, 2, $i, "GPL"); exit(syscall(321, 5, $a, length $a) >= 0 ? 0 : 1)'`,
  ],
  // perf_event_open(2) of every process on a processor, where the host itself lets nobody without privilege.
  [
    'what other processes do',
    `[ "$(cat /proc/sys/kernel/perf_event_paranoid)" -ge 1 ] && perl -e '$a = pack("LLQx48", 1, 64, 0); exit(syscall(298, $a, -1, 0, -1, 0) >= 0 ? 0 : 1)'`,
  ],
  // userfaultfd(2): faults of the kernel itself held up at will.
  [
    'faults of the kernel',
    `[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] && perl -e 'exit(syscall(323, 0) >= 0 ? 0 : 1)'`,
  ],
  ['ports of the machine', `perl -e 'exit(syscall(172, 3) == 0 ? 0 : 1)'`],
  ['a terminal that is not its own', `perl -e 'exit(ioctl(STDIN, 0x5412, "x") ? 0 : 1)'`],
  // memfd_create(2): a program without a name runs, and is nobody else by it.
  [
    'privilege by a program without a name',
    `perl -e '$f = syscall(319, my $n = "x", 0); open(I, "<", "/usr/bin/id"); open(O, ">&=", $f); binmode O; local $/; print O <I>; close I; O->flush; chmod 04755, "/proc/self/fd/$f"; $u = qx(/proc/self/fd/$f -u); exit($u == 0 && $> != 0 ? 0 : 1)'`,
  ],
  ['the clock', 'date -s @0'],
  ['the name of the host', 'hostname sallyport-made'],
  ['a setuid program that gives root', '[ "$(id -u)" != 0 ] && [ "$($D/setuid -u)" = 0 ]'],
  ['su', '[ "$(id -u)" != 0 ] && su -c true </dev/null'],
  ['keys of somebody else in /proc', 'grep -qs . /proc/[0-9]*/environ && ! grep -qs LC_SALLYPORT /proc/[0-9]*/environ'],
]

async function escapes(t: Test, place: House, account: string): Promise<void> {
  const { host } = place
  const directory = mkdtempSync('/var/lib/sallyport-escape-')
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  chmodSync(directory, 0o777)
  writeFileSync(join(directory, 'file'), 'as it was\n')
  chmodSync(join(directory, 'file'), 0o666)
  copyFileSync('/usr/bin/id', join(directory, 'setuid'))
  chmodSync(join(directory, 'setuid'), 0o4755)
  const before = photograph(directory)
  const script = ATTEMPTS.map(([, line], n) => `if ( ${line} ) >/dev/null 2>&1; then echo "through ${n}"; fi`).join(
    '\n',
  )
  const { out } = await place.run(`D=${directory}; ${script}\necho all tried`)
  t.match(out, /all tried/)
  for (const [n, [what]] of ATTEMPTS.entries()) t.notMatch(out, new RegExp(`^through ${n}$`, 'm'), `refused: ${what}`)
  t.same(photograph(directory), before, 'the host is as it was')
  t.notOk(existsSync('/etc/sallyport-made'))

  const state = await place.run('id -un; cat /proc/self/status; ls /proc/self/fd | wc -l; ls /dev | xargs')
  t.match(state.out, new RegExp(`^${account}\\n[^]*CapEff:\\s0+\\n[^]*NoNewPrivs:\\s1`))
  t.match(state.out, /^4\n/m, 'three descriptors, and the list itself')
  t.match(state.out, /^fd full null ptmx pts random shm stderr stdin stdout tty urandom zero$/m)
  t.match(await place.run(`ls ${host.directory}; ls /run`), { out: '' }, 'neither the keys of the agent nor /run')
  const own = 'for d in /tmp /dev/shm /var/tmp; do'
  t.match(await place.run(`${own} echo kept >$d/sallyport-kept && cat $d/sallyport-kept; done`), {
    out: 'kept\nkept\nkept\n',
  })
  t.match(await place.run(`${own} ls $d; done`), { out: '' }, 'the next session finds nothing of it')
  for (const path of ['/tmp', '/dev/shm', '/var/tmp']) t.notOk(existsSync(join(path, 'sallyport-kept')))
}

/** add_key(2) to one of the rings of a program, and KEYCTL_SEARCH in it. */
const addKey = (ring: number) =>
  `perl -e 'print syscall(248, my $t = "user", my $d = "sallyport-left", my $p = "secret", 6, ${ring}) >= 0 ? "kept" : "no: $!"'`
const findKey = (ring: number, name: string) =>
  `perl -e 'print syscall(250, 10, ${ring}, my $t = "user", my $d = "${name}", 0) >= 0 ? "found" : "none"'`

const connect = (path: string): string =>
  `perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); exit(connect(S, pack_sockaddr_un($ARGV[0] =~ s/^@/\\0/r)) ? 0 : 1)' '${path}'`

t.test('a read-only workspace', { skip, timeout: 240_000 }, async (t) => {
  const account = ordinary(t)
  const me = userInfo().username
  const root = await house(t, me, {})
  t.match(root.host.words, /^workspaces: read-only, overlay/)
  await t.test('root finds no way out', (t) => escapes(t, root, me))
  const plain = await house(t, account.name, {}, root)
  await t.test('an ordinary account finds none', (t) => escapes(t, plain, account.name))

  await t.test('sockets of the host are out of reach', async (t) => {
    const directory = mkdtempSync('/var/lib/sallyport-sockets-')
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    chmodSync(directory, 0o777)
    let heard = 0
    const listen = async (path: string) => {
      const server = createServer((socket) => {
        heard += 1
        socket.on('error', () => undefined).end()
      })
      await new Promise<void>((resolve) => void server.listen(path, resolve))
      if (!path.startsWith('\0')) chmodSync(path, 0o777)
      t.teardown(() => server.close())
    }
    const abstract = `sallyport-${process.pid}`
    const paths = [
      join(directory, 'docker.sock'),
      `/run/sallyport-${process.pid}.sock`,
      `/tmp/sallyport-${process.pid}.sock`,
    ]
    for (const path of [...paths, `\0${abstract}`]) await listen(path)
    t.equal(spawnSync('/bin/sh', ['-c', connect(paths[0] ?? '')]).status, 0, 'from the host it answers')
    for (const path of [...paths, `/proc/self/root${paths[0]}`, `@${abstract}`])
      t.match(await plain.run(`${connect(path)} && echo through`), { out: '' }, path)
    const open = await house(t, account.name, { network: 'host' }, root)
    for (const path of paths) t.match(await open.run(`${connect(path)} && echo through`), { out: '' }, path)
    // As docs/workspaces.md says: this is what the host's network leaves.
    t.match(await open.run(`${connect(`@${abstract}`)} && echo through`), { out: 'through\n' })
    t.equal(heard, 2)
  })

  await t.test('what is pushed into a terminal comes back to nobody but the one who did it', async (t) => {
    const directory = mkdtempSync('/var/lib/sallyport-terminal-')
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    chmodSync(directory, 0o777)
    // TIOCSTI, as if it had been typed: whoever reads that terminal after this program runs it.
    const push = `perl -e 'ioctl(STDIN, 0x5412, $_) for split //, "touch ${directory}/made\n"'; echo pushed`
    const ran = await plain.client.ssh(['-tt', 'alice%prod-db@127.0.0.1', push])
    t.match(ran.stdout.toString(), 'pushed')
    t.match(await plain.run('echo next'), { out: 'next\n' })
    t.notOk(existsSync(join(directory, 'made')))
    t.match(await plain.run(`perl -e 'open(T, "+<", "/dev/tty") && ioctl(T, 0x5412, "x") && print "through"'`), {
      out: '',
    })
  })

  await t.test('keys in a keyring are nobody else’s', async (t) => {
    // An agent that somebody started from their login, with something in its session keyring.
    const key = 'syscall(248, my $t = "user", my $d = "sallyport-agent", my $p = "secret", 6, -3)'
    const started = ['perl', '-e', `syscall(250, 1, 0); ${key}; exec @ARGV`]
    const place = await house(t, me, {}, { before: started } satisfies Outfit)
    for (const ring of [-3, -4, -5]) {
      const both = await place.run(`${addKey(ring)}; ${findKey(ring, 'sallyport-left')}`)
      t.match(both.out, /^keptfound$|^no: (Operation not permitted|Function not implemented)/, 'one’s own is')
      t.match(await place.run(findKey(ring, 'sallyport-agent')), { out: 'none' }, `the agent’s is not: ${ring}`)
      t.match(await place.run(findKey(ring, 'sallyport-left')), { out: 'none' }, `another session’s is not: ${ring}`)
    }
  })

  await t.test('the network is what the role says', async (t) => {
    const open = await house(t, account.name, { network: 'host' }, root)
    t.equal((await plain.run('ls /proc/self/ns/net -l')).out === (await open.run('ls /proc/self/ns/net -l')).out, false)
    t.match((await plain.run('tail -n +3 /proc/net/dev')).out, /^ *lo:[^\n]*\n(?!.*eth)/)
  })

  await t.test('a fork bomb and a memory hog stay among themselves', async (t) => {
    const child = plain.client.start([
      'alice%prod-db@127.0.0.1',
      'echo up; f() { f | f & }; f 2>/dev/null; sleep 314159',
    ])
    const gone = new Promise((resolve) => child.once('close', resolve))
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    t.match(await root.run('echo others run'), { out: 'others run\n' })
    child.kill('SIGKILL')
    await gone
    t.match(await plain.run('echo the next one runs'), { out: 'the next one runs\n', code: 0 })
    t.not((await plain.run(`perl -e '$x = "x" x (700 * 1024 * 1024); print length $x'`)).code, 0)
    t.match(await plain.run('head -c 30000000 /dev/zero >/tmp/big; ls -s --block-size=1M /tmp/big | cut -d" " -f1'), {
      out: /^1[56]\n/,
    })
    await until(() => leftovers().length === 0, 'nothing is left')
    t.same(leftovers(), [])
  })

  await t.test('a terminal, its keys, and files by sftp', async (t) => {
    const { client } = plain
    const shell = await client.ssh(['-tt', 'alice%prod-db@127.0.0.1'], {
      input: 'echo sum $((20+22)); cd /; pwd; exit 5\n',
    })
    t.match({ code: shell.code, out: shell.stdout.toString() }, { code: 5, out: /sum 42/ })
    const line = 'trap "echo caught; exit 9" INT; echo ready; sleep 5 & wait'
    const child = client.start(['-tt', 'alice%prod-db@127.0.0.1', line])
    let out = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
      if (out.includes('ready') && !out.includes('caught')) child.stdin?.write('\u0003')
    })
    const code = await new Promise((resolve) => child.once('close', resolve))
    t.match({ code, out }, { code: 9, out: /caught/ }, 'Ctrl-C reaches the program, and nobody else')
    const files = await client.sftp(
      ['alice%prod-db@127.0.0.1'],
      `ls /etc/hostname\nput /etc/hostname ${account.home}/made\n`,
    )
    t.match(files.stdout.toString() + files.stderr, /\/etc\/hostname/)
    t.notOk(existsSync(join(account.home, 'made')))
  })

  await t.test('whatever ends, nothing is left', async (t) => {
    const sleepy = 'setsid sleep 314159 & env -i setsid sleep 314159 & echo up; sleep 314159'
    const up = async (place: House) => {
      const child = place.client.start(['alice%prod-db@127.0.0.1', sleepy])
      const gone = new Promise((resolve) => child.once('close', resolve))
      await new Promise((resolve) => child.stdout?.once('data', resolve))
      await until(() => leftovers().length > 0, 'it runs')
      return { child, gone }
    }
    const first = await up(plain)
    first.child.kill('SIGKILL')
    await until(() => leftovers().length === 0, 'the client was killed')
    const second = await up(plain)
    plain.gateway.endGrant()
    await second.gone
    await until(() => leftovers().length === 0, 'the grant ended')
    const lone = await house(t, account.name, { mode: 'overlay' })
    const third = await up(lone)
    lone.host.process.kill('SIGKILL')
    await third.gone
    await until(() => leftovers().length === 0, 'the agent was killed')
    t.same(leftovers(), [])
    t.notMatch(
      readFileSync('/proc/self/mountinfo', 'utf8'),
      / - (overlay|tmpfs|devpts|proc) sallyport /,
      'no mount is left',
    )
    for (let n = 0; n < 6; n++) {
      const place = await house(t, account.name, { mode: n % 2 === 0 ? 'overlay' : 'read-only' })
      const child = place.client.start(['alice%prod-db@127.0.0.1', sleepy])
      const gone = new Promise((resolve) => child.once('close', resolve))
      await new Promise((wake) => setTimeout(wake, 40 + 90 * n))
      place.host.process.kill('SIGKILL')
      await gone
    }
    await until(() => leftovers().length === 0, 'killed at any point')
    t.same(leftovers(), [])
  })

  await t.test(
    'an agent that is not root keeps the same promise for its own account',
    { skip: canBeReadByAll() ? false : 'this directory cannot be read by other accounts' },
    async (t) => {
      const own = await house(t, account.name, {}, { as: account } satisfies Outfit)
      t.match(own.host.words, /^workspaces: read-only, overlay/)
      await escapes(t, own, account.name)
      t.match(await own.run('nsenter --user=/run/.users true'), { code: 1 })
      const over = await house(t, account.name, { mode: 'overlay' }, own)
      t.match(await over.run('echo new >made && cat made; echo x >/etc/sallyport-made'), {
        out: 'new\n',
        err: /sallyport-made: Read-only file system/,
      })
      t.notOk(existsSync(join(account.home, 'made')))
    },
  )
})

t.test('never without', { skip, timeout: 120_000 }, async (t) => {
  const me = userInfo().username
  await t.test('a host that cannot make one says why, and runs nothing', async (t) => {
    const shut = [
      'unshare',
      '--user',
      '--map-root-user',
      '/bin/sh',
      '-c',
      'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"',
      'sh',
    ]
    const place = await house(t, me, {}, { before: shut } satisfies Outfit)
    t.match(place.host.words, /^no workspaces: a namespace of users .*No space left.*user\.max_user_namespaces=0/)
    const ran = await place.run('echo ran')
    t.match(ran, {
      code: 126,
      out: '',
      err: /needs a read-only workspace, and this host cannot make one: a namespace of users/,
    })
    const known = await house(t, me, {}, { ...place, said: place.host.words })
    t.match(
      await known.run('echo ran'),
      { code: 255, out: '', err: /Its agent says: no workspaces/ },
      'the gateway knows',
    )
  })

  await t.test('a target without an agent is refused, unless the workspace was only implied', async (t) => {
    const place = await house(t, me, {}, { isAgent: false })
    t.match(await place.run('echo ran'), { code: 255, out: '', err: /prod-db has no agent that could make one/ })
    const implied = await house(t, me, { isImplied: true }, { ...place, isAgent: false })
    t.match(await implied.run('echo ran'), { code: 0, out: 'ran\n' })
  })

  await t.test('a read-only shell runs in one: the judge is not the last to say no', async (t) => {
    const place = await house(t, me, { network: 'host' }, { shell: 'read-only' })
    t.match(await place.run('cat /proc/self/status'), { out: /NoNewPrivs:\s1/, code: 0 })
    t.match(await place.run(`head -c 1 /proc/${process.pid}/environ`), { code: 1, out: '' }, 'nobody else is there')
  })
})

t.test('an overlay', { skip, timeout: 120_000 }, async (t) => {
  const directory = mkdtempSync('/var/lib/sallyport-overlay-')
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const put = (name: string, text: string) => writeFileSync(join(directory, name), text)
  for (const name of ['changed', 'deleted', 'moved', 'touched', 'mode']) put(name, `the text of ${name}\n`)
  execFileSync('mkdir', ['-p', join(directory, 'tree/below'), join(directory, 'again')])
  put('tree/below/file', 'deep\n')
  put('again/old', 'old\n')
  const before = photograph(directory)
  const { gateway, run } = await house(t, userInfo().username, { mode: 'overlay', network: 'host' })
  const files = async (line: string) => {
    const ran = await run(`cd ${directory}\n${line}`)
    await until(() => gateway.recorder.sessions.at(-1)?.end !== undefined, 'it was recorded')
    const found = gateway.recorder.json('f')
    t.same(photograph(directory), before, 'the host is as it was')
    return { ...ran, found, at: (name: string) => found.find(({ path }) => path === join(directory, name)) }
  }

  await t.test('what was added, changed and deleted is in the recording, with diffs', async (t) => {
    const { at, err, found } = await files(
      'echo more >>changed; rm deleted; mv moved gone; : >>touched; chmod 600 mode; echo new >"$(printf "odd\\nname\\033[31m")"; rm -r tree; rm -r again; mkdir again; echo n >again/new',
    )
    t.match(at('changed'), { operation: 'changed', diff: '@@ -1,1 +1,2 @@\n the text of changed\n+more\n', bytes: 25 })
    t.match(at('deleted'), { operation: 'deleted', diff: /-the text of deleted/ })
    t.match(at('moved'), { operation: 'deleted' })
    t.match(at('gone'), { operation: 'added', diff: /\+the text of moved/ })
    t.equal(at('touched'), undefined, 'what is the same is not named')
    t.match(at('mode'), { operation: 'changed', detail: /0644 .* → file 0600/ })
    t.match(at('odd\nname\u001b[31m'), { operation: 'added' })
    t.match(at('tree/below/file'), { operation: 'deleted' })
    t.match(at('tree'), { operation: 'deleted', detail: /directory/ })
    t.match(at('again/old'), { operation: 'deleted' })
    t.match(at('again/new'), { operation: 'added' })
    t.equal(found.length, 11)
    t.match(err, /In this workspace: .*recorded, and thrown away/)
    t.equal(err.includes('\u001b'), false, 'names cannot act on the terminal')
    t.match(gateway.recorder.bytes('m').toString(), 'Changed in the workspace, and thrown away: 11.')
  })

  await t.test('links and special files are named, and nothing is followed or opened', async (t) => {
    writeFileSync(join(directory, '../sallyport-secret'), 'a secret\n')
    t.teardown(() => rmSync(join(directory, '../sallyport-secret'), { force: true }))
    const { at, found } = await files(
      'ln -s ../sallyport-secret link; ln -s / root; mkfifo pipe; ln changed hard; rm -r tree; ln -s /etc tree; truncate -s 100G sparse; head -c 300 /dev/urandom >binary; perl -MIO::Socket::UNIX -e "IO::Socket::UNIX->new(Local=>q(sock),Listen=>1)"',
    )
    t.match(at('link'), { operation: 'added', to: '../sallyport-secret', detail: /link/ })
    t.match(at('root'), { operation: 'added', to: '/' })
    t.match(at('pipe'), { operation: 'added', detail: /other/ })
    t.match(at('sock'), { operation: 'added', detail: /other/ })
    t.match(at('hard'), { operation: 'added' })
    t.match(at('tree'), { operation: 'changed', to: '/etc', detail: /directory .* → link/ })
    t.match(at('sparse'), { bytes: 100 * 2 ** 30, sha256: undefined, diff: undefined })
    t.match(at('binary'), { bytes: 300, sha256: /^[0-9a-f]{64}$/, diff: undefined })
    t.notMatch(JSON.stringify(found), /a secret/)
  })

  await t.test('what the account may not read is in no diff, whatever it does with the file', async (t) => {
    const account = ordinary(t)
    for (const name of ['taken', 'moved', 'shared', 'own']) {
      writeFileSync(join(account.home, name), `what only some may read: ${name}\n`)
      chmodSync(join(account.home, name), name === 'shared' ? 0o640 : 0o600)
    }
    chownSync(join(account.home, 'shared'), 0, account.gid)
    chownSync(join(account.home, 'own'), account.uid, account.gid)
    const place = await house(t, account.name, { mode: 'overlay', network: 'host' })
    const { out } = await place.run('cd; cat taken moved; rm -f taken own shared; mv -f moved away; ls')
    t.notMatch(out, /only some/)
    await until(() => place.gateway.recorder.sessions.at(-1)?.end !== undefined, 'it was recorded')
    const found = place.gateway.recorder.json('f')
    const at = (name: string) => found.find(({ path }) => path === join(account.home, name))
    for (const name of ['taken', 'moved']) t.match(at(name), { operation: 'deleted', diff: undefined }, name)
    t.match(at('away'), { operation: 'added', diff: undefined })
    t.match(at('own'), { operation: 'deleted', diff: /some may read: own/ })
    t.match(at('shared'), { operation: 'deleted', diff: /some may read: shared/ }, 'its group may')
    t.notMatch(place.gateway.recorder.bytes('o').toString(), /only some/)
  })

  await t.test('thousands of names of one large nothing are not read one by one', async (t) => {
    const { found } = await files(
      `mkdir many; cd many; truncate -s 64M first; perl -e 'link("first", $_) for 1 .. 5000'; ls | wc -l`,
    )
    t.equal(found.length, 1000)
    t.ok(found.filter(({ sha256 }) => sha256 !== undefined).length < 100, 'not all of it was read')
  })

  await t.test('a session that is cut is reported all the same', async (t) => {
    const place = await house(t, userInfo().username, { mode: 'overlay' })
    const child = place.client.start([
      'alice%prod-db@127.0.0.1',
      `echo cut >${directory}/changed; echo up; sleep 314159`,
    ])
    const gone = new Promise((resolve) => child.once('close', resolve))
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    place.gateway.endGrant()
    await gone
    await until(() => place.gateway.recorder.json('f').length > 0, 'the changes came')
    t.match(place.gateway.recorder.json('f')[0], { operation: 'changed', diff: /\+cut/ })
    t.same(photograph(directory), before)
  })
})
