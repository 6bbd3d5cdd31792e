/** `npm run conformance -- limits`: the limits of workspaces under a kernel that has cgroup v2, which is brought along as a process (User-Mode Linux). */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const KERNEL = '/usr/bin/linux.uml'
const MODULES = '/usr/lib/uml/modules'
const TEST = 'test/agents/limits.test.ts'
const MOST_MS = 15 * 60_000
const FINIT_MODULE = 313

/** Its root is this machine's, read-only; what is written stays in its own memory. */
const init = (root: string): string => `#!/bin/sh
export PATH=${join(root, 'node_modules/.bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/run/home TMPDIR=/run/tmp TAP_TIMEOUT=${MOST_MS / 1000}
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/home /run/tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
perl -e 'open(F, "<", $ARGV[0]) && syscall(${FINIT_MODULE}, fileno(F), my $none = "", 0)' ${MODULES}/$(uname -r)/kernel/fs/overlayfs/overlay.ko
ip link set lo up
cd ${root} && node ${TEST}
echo "it ended with $?"
halt -f
`

/** @returns the code that this process ends with. */
export async function limits(say: (line: string) => void): Promise<number> {
  if (!existsSync(KERNEL) || process.arch !== 'x64') {
    say(`not tried: ${KERNEL} is missing (on Debian, x86-64: apt-get install user-mode-linux)`)
    return 2
  }
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-kernel-'))
  const script = join(directory, 'init')
  writeFileSync(script, init(resolve(import.meta.dirname, '../..')))
  chmodSync(script, 0o755)
  const memory = ['mem=1536M', `uml_dir=${directory}`]
  const root = ['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${script}`]
  const consoles = ['quiet', 'con=null', 'con0=null,fd:1', 'ssl=null']
  // In a group of its own: its processes are children of several.
  const child = spawn(KERNEL, [...memory, ...root, ...consoles], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const end = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Gone already.
    }
  }
  const late = setTimeout(end, MOST_MS)
  process.once('exit', end)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  try {
    let told = ''
    child.stdout.on('data', (chunk: Buffer) => {
      process.stdout.write(chunk)
      told = `${told}${chunk.toString()}`.slice(-1000)
    })
    await new Promise((done) => {
      child.once('error', done)
      child.once('close', done)
    })
    const code = /^it ended with (\d+)\r?$/m.exec(told)?.[1]
    if (code === undefined) say('the kernel did not come to an end of the test: it may not run here at all')
    return code === '0' ? 0 : 1
  } finally {
    clearTimeout(late)
    end()
    rmSync(directory, { recursive: true, force: true })
  }
}
