/** Workspaces as people meet them: the demo's host behind an agent, ssh through the whole gateway, and a replay that shows what was changed. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { agentDirectory, startAgent } from '../fixtures/agent.ts'
import { type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { doorAt, ownNetwork } from '../fixtures/network.ts'
import { until } from '../fixtures/until.ts'

const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()
const granted = (person: DemoPerson, role: string) =>
  person.ssh(['@', 'request', 'prod-app', '--role', role, '--reason', 'flow test', '--json'])

const running = () =>
  execFileSync('ps', ['-eo', 'args'])
    .toString()
    .split('\n')
    .filter((words) => /^sleep 27182|^unshare --mount/.test(words))

if (!existsSync('/usr/bin/ssh') || process.platform !== 'linux') t.plan(0, 'no OpenSSH client here')
else {
  const demo = await startDemo(t)
  const [alice, bob, carol] = [demo.person('alice'), demo.person('bob'), demo.person('carol')] as const
  const { host } = demo.report.ssh
  const agents = async (): Promise<string> => said(await bob.ssh(['@', 'agents']))
  const inside = (role: string, line: string) => alice.ssh([`alice%prod-app%${role}@${host}`, line])
  await bob.ssh(['@', 'whoami'])
  await until(async () => /2 lines/.test(await agents()), 'the demo has its agent')
  const network = ownNetwork(t)
  t.comment(network === undefined ? 'no network namespace here: the agent shares ours' : 'the agent is in a namespace')
  const { port } = demo.report.ssh
  const at = network === undefined ? `${host}:${port}` : `${network.address}:${await doorAt(t, network.address, port)}`
  const token = said(await bob.ssh(['@', 'agent-token', 'prod-app', '--targets', 'prod-app'])).trim()
  const data = agentDirectory(t)
  const agent = startAgent(t, data, ['--enroll', token, '--gateway', at], network?.before)
  await agent.says(/orkspaces: [^]*worker [12] of 2[^]*worker [12] of 2/)
  await until(async () => /2 lines[^]*workspaces/.test(await agents()), 'the agent says what its host can do')
  const words = await agents()
  t.same(demo.report.targets, ['prod-db', 'prod-web', 'prod-app'])
  t.match(demo.report.hosts.at(-1), { name: 'prod-app', kind: 'agent' })
  t.match(words, /^prod-app: (no )?workspaces: /m)
  if (!/^prod-app: workspaces: read-only, overlay/m.test(words)) t.comment(`not here: ${words}`)
  else {
    // Neither below /tmp, which a workspace has of its own, nor where somebody keeps something.
    const directory = join(homedir(), `.sallyport-flow-${process.pid}`)
    mkdirSync(directory)
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    const file = join(directory, 'app.conf')
    writeFileSync(file, 'level = info\n')

    await t.test('a read-only workspace: any command, and no write', async (t) => {
      t.match(said(await alice.ssh(['@', 'explain-role', 'observe'])), /workspace where the kernel refuses every write/)
      await granted(alice, 'observe')
      const run = await inside('observe', `cat ${file}; echo x >>${file}; echo left with $?; exit 7`)
      t.match(
        { code: run.code, out: said(run), err: run.stderr },
        { code: 7, out: /level = info\nleft with [12]/, err: /Read-only file system/ },
      )
    })

    await t.test('an overlay: the host is as it was, and the auditor sees what would have changed', async (t) => {
      await granted(alice, 'rehearse')
      const run = await inside('rehearse', `sed -i s/info/debug/ ${file}; cat ${file}`)
      t.match(
        { out: said(run), err: run.stderr },
        { out: 'level = debug\n', err: /In this workspace: changed .*app\.conf.*kept for a second person/ },
      )
      t.equal(readFileSync(file, 'utf8'), 'level = info\n')
      let replay = ''
      let session = ''
      await until(async () => {
        const list = JSON.parse(said(await carol.ssh(['@', 'sessions', '--json']))) as { id: string; role: string }[]
        const id = list.find(({ role }) => role === 'rehearse')?.id
        session = id ?? ''
        if (id !== undefined) replay = said(await carol.ssh(['@', 'replay', id]))
        return /file changed/.test(replay)
      }, 'the replay shows it')
      t.match(
        replay,
        /-- Changed in the workspace, and kept for a second person \(sha256 [0-9a-f]{64}\): 1\.\n-- file changed [^\n]*app\.conf done[^\n]*\n   @@ -1,1 \+1,1 @@\n   -level = info\n   \+level = debug\n/,
      )
      t.match((await alice.ssh(['@', 'apply', session])).stderr, /no kept changes/, 'not by oneself')
      const [hers, his] = [await alice.ssh(['@', 'changes']), await bob.ssh(['@', 'changes'])]
      t.match(said(hers), new RegExp(`${session} +prod-app +alice +rehearse .* leads`))
      t.match(hers.stderr, /Your own wait for somebody of the groups under DECIDES\. When LEFT is over/)
      t.notMatch(hers.stderr, /apply/, 'she may not decide')
      t.match(said(his), new RegExp(`${session} +prod-app +alice +rehearse +1 +[1-9]\\d{2} B .* you`))
      t.match(his.stderr, /`apply SESSION` shows what you may decide about/)
      t.notMatch(his.stderr, /Your own/)
      const listed = JSON.parse(said(await bob.ssh(['@', 'changes', '--json']))) as object[]
      t.match(listed, [{ session, target: 'prod-app', username: 'alice', changes: 1, isMine: false }])
      const api = async (path: string) =>
        (await bob.browser.api(demo.report.https.url, 'GET', path)).json() as Readonly<Record<string, unknown>>
      await bob.visit('/requests')
      t.match(await api('/kept-changes'), { kept: [{ session: { id: session }, isMine: false }], silent: [] })
      t.match(await api(`/kept-changes/${session}`), { changes: [{ operation: 'changed', diff: /\+level = debug/ }] })
      const shown = await bob.ssh(['@', 'apply', session])
      t.match(said(shown), /Changes of alice .*\nchanged [^\n]*app\.conf[^\n]*\n   @@[^]*\n   \+level = debug\nsha256 /)
      t.equal(readFileSync(file, 'utf8'), 'level = info\n', 'shown, and not applied')
      const digest = /^sha256 ([0-9a-f]{64})$/m.exec(said(shown))?.[1] ?? ''
      t.match(said(await bob.ssh(['@', 'apply', session, '--digest', digest])), 'Applied on prod-app: 1 change.')
      t.equal(readFileSync(file, 'utf8'), 'level = debug\n')
      const isOver = async (id: string, what: string): Promise<void> => {
        for (const words of [
          ['apply', id, '--digest', digest],
          ['discard', id],
        ])
          t.match(await bob.ssh(['@', ...words]), { code: 1, stderr: /Nothing is kept/ }, `${words[0]}: ${what}`)
        for (const [deed, body] of [['apply', { digest }], ['discard']] as const) {
          const answer = await bob.browser.api(demo.report.https.url, 'POST', `/kept-changes/${id}/${deed}`, body)
          t.match({ status: answer.status, text: answer.text }, { status: 404, text: /Nothing is kept/ }, what)
        }
      }
      await isOver(session, 'it was applied')

      const again = await inside('rehearse', `echo more >>${file}`)
      const other = /second person: apply ([0-9a-f-]{36})/.exec(again.stderr)?.[1] ?? ''
      await until(async () => said(await bob.ssh(['@', 'changes'])).includes(other), 'it waits')
      t.match(said(await bob.ssh(['@', 'discard', other])), 'Thrown away.')
      await isOver(other, 'it was thrown away')
      type Noted = { readonly events: readonly { readonly kind: string; readonly session: string | null }[] }
      let kinds = ''
      await carol.visit('/audit')
      await until(async () => {
        const audit = (await carol.browser.api(demo.report.https.url, 'GET', '/audit?limit=200')).json() as Noted
        const ours = audit.events.filter(({ kind }) => /^workspace\.(?!shown)/.test(kind))
        kinds = ours
          .map(({ kind, session: id }) => `${kind} ${id === session ? 1 : 2}`)
          .toSorted()
          .join(', ')
        return /applied.*discarded/.test(kinds)
      }, 'the audit log has both')
      t.equal(kinds, 'workspace.applied 1, workspace.applying 1, workspace.discarded 2')
    })

    await t.test('a role with a workspace opens nothing where there is no agent', async (t) => {
      t.not((await alice.ssh(['@', 'request', 'prod-db', '--role', 'observe', '--reason', 'flow test'])).code, 0)
    })

    await t.test('kill -9 of the agent, then of the gateway: nothing is left, and both come back', async (t) => {
      const sleepy = () => inside('rehearse', `echo x >>${file}; setsid sleep 27182 & sleep 27182`)
      const first = sleepy()
      await until(async () => running().length >= 3, 'it runs')
      agent.process.kill('SIGKILL')
      t.not((await first).code, 0)
      await until(async () => running().length === 0, 'nothing is left of the agent')
      const again = startAgent(t, data, [], network?.before)
      await until(async () => /2 lines/.test(await agents()), 'it is back')
      const second = sleepy()
      await until(async () => running().length >= 3, 'it runs again')
      await demo.end('SIGKILL')
      t.not((await second).code, 0)
      await until(async () => running().length === 0, 'nothing is left of the session')
      await demo.again()
      await until(async () => /2 lines/.test(await agents()), 'the agent is back')
      t.match(said(await inside('rehearse', `cat ${file}`)), 'level = debug\n')
      t.equal(await again.end(), 0)
      t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), / - \w+ sallyport /)
    })
  }
}
