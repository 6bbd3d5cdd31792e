/** The read-only shell's judge: every row of the corpora, what people are told, what is sent, and how a role's list narrows it. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  forAnyShell,
  judgeCommandLine,
  judgeExec,
  judgeFile,
  quote,
  quoteText,
  shellRules,
  wantsTerminal,
} from '../../gateway/filters/filters.ts'

const { rules } = shellRules()
const decide = (line: string, some = rules) => judgeCommandLine(line, some).verdict
const sent = (line: string, context = {}) => {
  const { plan } = judgeCommandLine(line, rules)
  return plan === undefined ? undefined : quote(plan, context)
}
const gets = (line: string) => {
  const { plan } = judgeCommandLine(line, rules)
  return plan !== undefined && wantsTerminal(plan)
}
type Row = { readonly cmd: string; readonly verdict: string; readonly keys?: string; readonly pass_if?: string }

for (const name of ['shell-shared', 'shell-ours'])
  t.test(`${name}: each line gets its verdict`, async (t) => {
    const rows = readFileSync(new URL(`../corpora/${name}.jsonl`, import.meta.url), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Row)
    t.ok(rows.length > 150)
    const times: number[] = []
    for (let pass = 0; pass < 6; pass++)
      for (const { cmd } of rows) {
        const before = performance.now()
        judgeCommandLine(cmd, rules)
        if (pass > 1) times.push(performance.now() - before)
      }
    for (const row of rows) {
      const { verdict, plan } = judgeCommandLine(row.cmd, rules)
      const isSecureProgram = row.keys !== undefined && plan !== undefined && quote(plan).includes('LESSSECURE=1')
      if (row.verdict === 'deny' && isSecureProgram)
        t.ok(wantsTerminal(plan), `keys go to a program that keeps to itself: ${row.cmd}`)
      else if (verdict.decision !== row.verdict) t.equal(verdict.decision, row.verdict, JSON.stringify(row.cmd))
      if (verdict.decision === 'deny' && !/[.…]$/.test(verdict.reason)) t.fail('a refusal is a sentence', verdict)
    }
    times.sort((a, b) => a - b)
    t.comment(
      `judging a line: p50 ${times[Math.floor(times.length / 2)]?.toFixed(3)} ms, p99 ${times[Math.floor(times.length * 0.99)]?.toFixed(3)} ms`,
    )
  })

t.test('a refusal says what was refused and what is allowed instead', async (t) => {
  const told: readonly (readonly [line: string, words: RegExp])[] = [
    ['ls > /tmp/x', /Only 2>&1, 2>\/dev\/null and >\/dev\/null/],
    ['echo $(id)', /Command substitution.*single quotes/s],
    ['find . -delete', /find -delete .*Use -print/s],
    ['find . -name *.log', /quotes: -name '\*\.log'/],
    ['rm x', /`rm` is not on the list.*Allowed: .*\bls\b/s],
    ['sudo ls', /starts other programs/],
    ['if ls', /keyword/],
    ['awk \'{print > "x"}\'', /parentheses/],
    ['curl localhost', /http:\/\//],
    ['systemctl restart x', /systemctl restart.*status, show/s],
    ['echo "x$"', /single quotes/],
    ['ls\u202e', /U\+202E/],
    ['cat /dev/zero', /never ends/],
  ]
  for (const [line, words] of told) {
    const verdict = decide(line)
    t.match(verdict.decision === 'deny' ? `${verdict.reason} ${verdict.next ?? ''}` : '', words, line)
  }
})

t.test('what is sent is written anew from what was judged', async (t) => {
  const pairs: readonly (readonly [line: string, sent: string])[] = [
    ['grep  \'a b\'\t"c"d\\ e', "grep 'a b' 'cd e'"],
    ["echo it\\'s", "/usr/bin/env echo 'it'\\''s'"],
    ['cat *.log a*', 'cat ./*.log a*'],
    ["cat 'a b'*'*'", "cat 'a b'*'*'"],
    ['cat [!a]x {b,c}', 'cat ./[!a]x b c'],
    ['ls ~ ~/x $HOME/"y z"', `ls "$HOME" "$HOME"/x "$HOME"'/y z'`],
    ['ls >/dev/null 2>&1 | wc ; pwd && id # x', 'ls >/dev/null 2>&1 | wc; pwd && id'],
    ['sed -n 1p x', 'sed --sandbox -n 1p x'],
    ["ls ''", "ls ''"],
  ]
  for (const [line, text] of pairs) t.equal(sent(line), text, line)
  t.match(sent('systemctl status x'), /^\/usr\/bin\/env .*SYSTEMD_PAGER=cat .* systemctl status x$/)
  t.match(sent('less x'), /-u LESSOPEN .*LESSSECURE=1 .* less x$/)
  t.equal(sent("awk '{print}' x", { hasGawk: true }), "gawk --sandbox '{print}' x")
  t.equal(sent('echo $?; echo $?', { lastStatus: 3 }), '/usr/bin/env echo 3; /usr/bin/env echo "$?"')
  t.equal(sent('cd "a b" && ls', { directory: "/x'y" }), "cd -- '/x'\\''y' || exit; CDPATH= cd -- 'a b' && ls")
  t.equal(sent('cd -', { previousDirectory: '/var' }), '{ CDPATH= cd -- /var && pwd; }')
  t.equal(sent('type -a ls'), `/usr/bin/env -u BASH_ENV bash -c 'type "$@"' bash -a ls`)
  t.equal(sent('cd -'), "{ echo 'cd: OLDPWD not set' >&2; false; }")
  t.equal(sent('cd /a; cd -', { previousDirectory: '/var' }), 'CDPATH= cd -- /a; cd -')
  t.equal(forAnyShell("ls 'a'"), "exec /bin/sh -c 'ls '\\''a'\\'''")
  t.equal(quoteText(''), "''")
})

t.test('a change of directory and the end of a session are steps for the caller', async (t) => {
  const steps = judgeCommandLine('cd /var/log && ls; cd; exit 3', rules).plan?.steps.map(({ kind, join }) => [
    kind,
    join,
  ])
  t.same(steps, [
    ['cd', ';'],
    ['pipeline', '&&'],
    ['cd', ';'],
    ['exit', ';'],
  ])
  t.equal(judgeCommandLine('cat zero', rules, { directory: '/dev' }).verdict.decision, 'deny')
  t.equal(judgeCommandLine('', rules).plan?.steps.length, 0)
})

t.test('only a lone less or top in batch mode gets a terminal', async (t) => {
  for (const line of ['less x', 'cat x | less', 'top -b']) t.ok(gets(line), line)
  for (const line of ['ls', 'less x; ls', 'less x | cat', 'watch ls']) t.notOk(gets(line), line)
})

t.test("a role's list narrows the preset, and deny rules win", async (t) => {
  const narrow = shellRules({
    commands: ['ls', { journalctl: ['-u', '-n', '--since'] }, { systemctl: ['status'] }, { find: ['-name'] }, 'vim'],
    deny: [{ ls: ['-R'] }],
  })
  t.same(narrow.problems, ['The read-only shell has no rules for `vim`, so it stays refused.'])
  for (const line of [
    'ls -l',
    'journalctl -u x -n 5',
    'journalctl --unit=x --lines=3 --since today',
    'systemctl status x',
    'find . -name x',
    'cd /',
    'pwd',
    'exit',
  ])
    t.equal(decide(line, narrow.rules).decision, 'allow', line)
  for (const line of [
    'cat x',
    'ls -R',
    'ls -lR',
    'journalctl -f',
    'journalctl -fu x',
    'systemctl show x',
    'systemctl',
    'find . -ls',
    'vim x',
  ])
    t.equal(decide(line, narrow.rules).decision, 'deny', line)
  const most = shellRules({
    commands: ['unix-read-only', { docker: ['ps'] }],
    deny: ['curl', { kubectl: ['logs'] }],
  }).rules
  for (const line of ['cat x', 'docker ps -a', 'kubectl get pods']) t.equal(decide(line, most).decision, 'allow', line)
  for (const line of ['curl http://a/', 'docker logs x', 'kubectl logs x', 'kubectl -n y logs x'])
    t.equal(decide(line, most).decision, 'deny', line)
  t.equal(decide('ls', shellRules({ commands: [] }).rules).decision, 'deny')
})

t.test('copies by scp and rsync are judged by their direction and their paths', async (t) => {
  const files = {
    read: ['/var/log/**', '/etc/hosts', '/home/u/*.txt'],
    write: [] as string[],
    deny: ['/var/log/secret/**'],
  }
  const copy = (command: string, some = files) => judgeExec(command, { shell: rules, files: some }, { home: '/home/u' })
  const allowed: readonly (readonly [command: string, line: string])[] = [
    ['scp -f /var/log/syslog', 'scp -f -- /var/log/syslog'],
    ['scp -v -p -f /var/log/../log/x', 'scp -v -p -f -- /var/log/x'],
    ["scp -f '/var/log/a b'", "scp -f -- '/var/log/a b'"],
    ['scp -f a.txt', 'scp -f -- /home/u/a.txt'],
    [
      'rsync --server --sender -vlogDtpre.iLsfxCIvu . /var/log/nginx/',
      'rsync --server --sender -vlogDtpre.iLsfxCIvu . /var/log/nginx/',
    ],
  ]
  for (const [command, line] of allowed) {
    const judged = copy(command)
    t.equal(judged.verdict.decision, 'allow', command)
    if (judged.kind === 'copy') t.equal(judged.line, line)
  }
  const denied = [
    'scp -f /etc/passwd',
    'scp -f /var/log/../../etc/passwd',
    'scp -f /var/log/*',
    "scp -f '/var/log/*/../../../etc/passwd'",
    'scp -f /var/log/*/../../../etc/*',
    'scp -r -f /var/log',
    'scp -f /var/log/secret/x',
    'scp -t /var/log/x',
    'scp -S id -f /var/log/x',
    'scp -f /var/log/x; id',
    'scp -f /var/log/x >/dev/null',
    'scp a b:',
    'scp -f $HOME/x',
    'rsync --server -vlogDtpre.iLsfxCIvu . /var/log/x',
    'rsync --server --sender -vlogDtpre.iLsfxCIvu --remove-source-files . /var/log/x',
    'rsync --server --sender -se.LsfxCIvu . /var/log/x',
    'rsync --server --sender --log-file=/tmp/x -e.L . /var/log/x',
    'rsync --server --daemon .',
    'rsync --server --sender -e.L . /etc',
    'rsync --server --sender -vlLogDtpre.iLsfxCIvu . /var/log/x',
    'rsync -e sh a b',
  ]
  for (const command of denied) t.equal(copy(command).verdict.decision, 'deny', command)
  const wide = { read: ['/srv/**'], write: ['/srv/in/**'], deny: [] as string[] }
  for (const command of ['scp -r -f /srv', 'scp -f /srv/*.log', 'scp -t /srv/in/x', 'rsync --server -e.L . /srv/in/'])
    t.equal(copy(command, wide).verdict.decision, 'allow', command)
  t.equal(copy('scp -t /srv/x', wide).verdict.decision, 'deny')
  t.same(copy('/usr/lib/openssh/sftp-server'), { kind: 'sftp', verdict: { decision: 'allow' } })
  t.equal(copy('ls').kind, 'shell')
  t.equal(copy('sftp-server -d /').kind, 'shell')
})

t.test('files are judged by the path that is sent', async (t) => {
  const some = { read: ['/var/log/**', '/etc/*.conf', '/srv/?'], write: ['/tmp/in/**'], deny: ['/var/log/*.key'] }
  const may = (operation: Parameters<typeof judgeFile>[0], path: string, home?: string) =>
    judgeFile(operation, path, some, home === undefined ? {} : { home }).verdict.decision === 'allow'
  for (const path of [
    '/var/log',
    '/var/log/',
    '/var/log/a/b',
    '//var//log/./x',
    '/var/log/x/../y',
    '/etc/a.conf',
    '/srv/a',
  ])
    t.ok(may('read', path), path)
  for (const path of [
    '/var/log/../../etc/shadow',
    '/var/logs',
    '/var',
    '/etc/x/a.conf',
    '/etc/aconf',
    '/srv/ab',
    '/var/log/a.key',
    'var/log/x',
    '/var/log/x\0',
    '/var/log\n',
    '',
  ])
    t.notOk(may('read', path), JSON.stringify(path))
  t.ok(may('write', '/tmp/in/x'))
  t.ok(may('stat', '/tmp/in/x'), 'what may be written may be looked at')
  t.notOk(may('read', '/tmp/in/x'))
  for (const operation of ['write', 'remove', 'rename', 'mkdir', 'rmdir', 'setstat', 'link', 'other'] as const)
    t.notOk(may(operation, '/var/log/x'), operation)
  t.ok(may('read', 'x', '/var/log'))
  t.ok(may('read', '~/x', '/var/log'))
  t.notOk(may('read', '../../etc/shadow', '/var/log'))
  t.equal(judgeFile('read', '/var//log/../log/x', some).path, '/var/log/x')
})
