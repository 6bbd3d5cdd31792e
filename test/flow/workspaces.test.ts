/** Workspaces, with the real ssh through the gateway to the real agent: the kernel keeps the promise, or nothing runs. */
import { existsSync } from 'node:fs'
import t from 'tap'
import { startDemo } from '../fixtures/demo.ts'

const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()

if (!existsSync('/usr/bin/ssh')) t.plan(0, 'no OpenSSH client here')
else {
  const demo = await startDemo(t)
  const alice = demo.person('alice')
  const bob = demo.person('bob')
  const { host } = demo.report.ssh
  await bob.ssh(['@', 'whoami'])
  await alice.ssh(['@', 'whoami'])
  for (let i = 0; i < 200 && !/workspaces/.test(said(await bob.ssh(['@', 'agents']))); i++)
    await new Promise((wake) => setTimeout(wake, 100))
  console.error(said(await bob.ssh(['@', 'agents'])))
  for (const role of ['observe', 'rehearse']) {
    const r = await alice.ssh(['@', 'request', 'prod-app', '--role', role, '--reason', 'flow test', '--json'])
    console.error(r.code, r.stderr, said(r).slice(0, 200))
  }
  const run = async (role: string, line: string, more = {}) => alice.ssh([`alice%prod-app%${role}@${host}`, line], more)
  let r = await run('observe', 'id; touch /etc/x; echo $?; pwd; echo err >&2; exit 7')
  console.error(r.code, said(r), r.stderr)
  r = await run('rehearse', 'id; echo hello >> /etc/hosts; rm -f /etc/hostname; exit 3')
  console.error(r.code, said(r), r.stderr)
  r = await alice.ssh(['-tt', `alice%prod-app%rehearse@${host}`], { input: 'stty size; tty; echo sum $((20+22)); touch /usr/newfile; exit 5\n' })
  console.error(r.code, said(r), r.stderr)
  const carol = demo.person('carol')
  await carol.ssh(['@', 'whoami'])
  await new Promise((wake) => setTimeout(wake, 1500))
  const list = await carol.ssh(['@', 'sessions', '--json'])
  for (const one of JSON.parse(said(list)).slice(0,3)) {
    r = await carol.ssh(['@', 'replay', one.id])
    console.error(r.code, said(r).slice(-1500), r.stderr)
  }
}
