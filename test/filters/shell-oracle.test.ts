/** What the judge lets through is really run, in a throw-away place where writing would succeed: nothing is changed, nothing stays, nobody listens. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { judgeCommandLine, quote, shellRules } from '../../gateway/filters/filters.ts'
import { Dice, Lines } from '../fixtures/shell-lines.ts'
import { fillWorkspace, photograph } from '../fixtures/shell-workspace.ts'

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_120)
const WANTED = Number(process.env['ORACLE_LINES'] ?? 2000)
const BATCH = 250
const SANDBOX = 'bwrap'

const runs = (...[program, ...argv]: [string, ...string[]]) =>
  spawnSync(program, argv, { timeout: 120_000 }).status === 0
const hasSandbox = () => runs(SANDBOX, '--ro-bind', '/', '/', '--unshare-all', 'true')
const isReady =
  hasSandbox() || (process.getuid?.() === 0 && runs('apt-get', 'install', '-y', '-qq', 'bubblewrap') && hasSandbox())

t.setTimeout(300_000)
if (isReady) {
  const rows = ['shell-shared', 'shell-ours'].flatMap((name) =>
    readFileSync(new URL(`../corpora/${name}.jsonl`, import.meta.url), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { readonly cmd: string }),
  )
  const { rules } = shellRules()
  const dice = new Dice(SEED)
  const lines = new Lines(SEED, [
    'ls',
    'cat',
    'sort',
    'uniq',
    'sed',
    'awk',
    'find',
    'echo',
    'printf',
    'less',
    'date',
    'env',
    'curl',
  ])
  const allowed = new Map<string, string>()
  const offer = (line: string) => {
    const { plan } = judgeCommandLine(line, rules)
    if (plan !== undefined && plan.steps.length > 0) allowed.set(quote(plan, { directory: '/tmp/gw' }), line)
  }
  for (const { cmd } of rows) offer(cmd)
  const fromCorpora = allowed.size
  /** Without those that wait, or speak to a daemon that is not there. */
  const quick = rows
    .map(({ cmd }) => cmd)
    .filter((cmd) => !/kubectl|docker|systemctl|journalctl|curl|ping|vmstat|top|free|tail|lsof|dmesg|-w/.test(cmd))
  /** Denied rows bent a little are the lines that come closest to doing harm. */
  for (let n = 0; allowed.size < WANTED && n < WANTED * 50; n++)
    offer(n % 5 === 0 ? lines.line() : lines.bent(dice.pick(quick)))
  t.comment(`seed ${SEED}: ${fromCorpora} lines of the corpora and ${allowed.size - fromCorpora} made ones are run`)
  t.ok(allowed.size >= WANTED, 'enough lines are allowed')

  const root = mkdtempSync(join(tmpdir(), 'sp-oracle-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  const workspace = join(root, 'gw')
  fillWorkspace(workspace)
  /** Time-stamps of the system, the account's home and /tmp are all within reach of a write. */
  const runAll = (texts: readonly string[]) => {
    const script = [
      'cd /tmp/gw',
      'before=$(ls -A /tmp /var/tmp /run /dev/shm | cksum)',
      ...texts.map(
        (text) =>
          `timeout -s KILL 0.25 /bin/sh -c '${text.replaceAll("'", String.raw`'\''`)}' </dev/null >/dev/null 2>&1`,
      ),
      '[ "$before" = "$(ls -A /tmp /var/tmp /run /dev/shm | cksum)" ] || { echo "files appeared:"; ls -A /tmp /var/tmp /run /dev/shm; }',
      'for p in /proc/[0-9]*; do [ "$p" = /proc/1 ] || [ "$p" = "/proc/$$" ] || [ "$(tr "\\0" " " 2>/dev/null <$p/cmdline)" = "" ] || [ "$(cut -d" " -f4 $p/stat 2>/dev/null)" = "$$" ] || { [ "$(cut -d" " -f4 $p/stat 2>/dev/null)" = 1 ] && echo "still runs: $(tr "\\0" " " <$p/cmdline)"; }; done',
      'cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 /proc/net/unix 2>/dev/null | grep -v "^ *sl\\|^Num" | sed "s/^/socket: /"',
    ].join('\n')
    writeFileSync(join(workspace, '..', 'script.sh'), script)
    const places =
      `--ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /var/tmp --tmpfs /run --tmpfs /home --bind ${workspace} /tmp/gw ` +
      `--ro-bind ${join(root, 'script.sh')} /run/script.sh --setenv HOME /tmp/gw/home`
    const walls = '--unshare-all --cap-drop ALL --die-with-parent --new-session'
    return spawnSync(SANDBOX, [...`${places} ${walls}`.split(' '), 'bash', '/run/script.sh'], {
      timeout: 240_000,
      encoding: 'utf8',
    })
  }

  t.test('no allowed line changes a file, leaves a process behind or a socket open', async (t) => {
    const texts = [...allowed.keys()]
    for (let at = 0; at < texts.length; at += BATCH) {
      const batch = texts.slice(at, at + BATCH)
      const before = photograph(workspace)
      const { stdout, status, stderr } = runAll(batch)
      const after = photograph(workspace)
      const isSame = before.join('\n') === after.join('\n')
      t.equal(stdout, '', 'nothing is left', { status, stderr: stderr.slice(0, 500) })
      t.ok(isSame, `lines ${at} to ${at + batch.length} change nothing`, {
        changed: after.filter((line) => !before.includes(line)),
        ...(isSame ? {} : { lines: batch }),
      })
    }
  })

  t.test('the photograph would have shown a change', async (t) => {
    const before = photograph(workspace)
    const { stdout } = runAll(['touch /tmp/gw/M /tmp/N', 'sleep 60 &'])
    t.match(stdout, /files appeared/)
    t.match(stdout, /still runs: sleep 60/)
    t.notSame(photograph(workspace), before)
    rmSync(join(workspace, 'M'), { force: true })
  })
} else t.pass('skipped: bubblewrap is neither installed nor installable')
