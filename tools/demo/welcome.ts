/** What the demo prints when it is ready: who there is, and what to type next, ready to paste. */
import type { DemoHost } from './hosts.ts'
import type { DemoPerson } from './people.ts'
import { totp } from './totp.ts'

export type Report = {
  readonly ssh: { readonly host: string; readonly port: number }
  readonly https: { readonly url: string }
  readonly dataDir: string
}

export function welcome(report: Report, people: readonly DemoPerson[], hosts: readonly DemoHost[]): string {
  const ssh = `ssh -p ${report.ssh.port}`
  const at = `@${report.ssh.host}`
  const rows = people.map((p) => [
    p.username.padEnd(8),
    p.password.padEnd(20),
    (p.totpSecret === undefined ? '(none)' : totp(p.totpSecret)).padEnd(8),
    p.groups.join(', ') || '(no group)',
  ])
  return `
Sallyport is ready.

  person   password             code     groups
${rows.map((row) => `  ${row.join(' ')}`).join('\n')}

The codes change every 30 seconds. A fresh one:  npm run -s demo-code -- alice   (or put the secrets from
${report.dataDir}/demo.json into an authenticator app)

1. As alice, ask for a shell on prod-db. ssh shows where to sign in and a code; sign in as alice, type the code.

     ${ssh} alice${at} request prod-db --role operator --for 5m --reason "INC-42 disk full"

2. As bob, approve it (or on ${report.https.url}/requests):

     ${ssh} bob${at} requests
     ${ssh} bob${at} approve 1

3. As alice, log in. After five minutes the session is cut, with a sentence.

     ${ssh} -t alice${at} prod-db
     ${ssh} alice${at} prod-db 'df -h'

4. As carol, see what happened:

     ${ssh} carol${at} sessions
     ${ssh} -t carol${at} replay <session>

   or in a browser: ${report.https.url}   (the certificate is the demo's own: accept it once)

Hosts: ${hosts.map((h) => `${h.name} (${h.kind}, as ${h.account})`).join(', ')}. Everything listens on loopback only.
Data: ${report.dataDir}. Ctrl-C ends all of it.
`
}
