/** What the demo prints when it is ready: who there is, and what to type next, ready to paste. */
import type { DemoPerson } from './people.ts'
import { totp } from './totp.ts'

export type Report = {
  readonly ssh: { readonly host: string; readonly port: number }
  readonly https: { readonly url: string }
  readonly postgres: { readonly host: string; readonly port: number | null }
  /** How each target's shell is reached: by an sshd, the small built-in one, or an agent that dials out. */
  readonly hosts: readonly {
    readonly name: string
    readonly kind: 'sshd' | 'built-in' | 'agent'
    readonly account: string
  }[]
  readonly dataDir: string
}

const KINDS = { sshd: 'sshd', 'built-in': 'built-in shell', agent: 'behind an agent, without sshd' } as const

export function welcome(report: Report, people: readonly DemoPerson[]): string {
  const ssh = `ssh -p ${report.ssh.port}`
  const at = `@localhost`
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

The codes change every 30 seconds. A fresh one, in the folder of Sallyport:

     npm run -s demo-code -- alice --data ${report.dataDir}

Without an ssh key, ssh asks you to sign in every time, and for the code that the page shows. With a key (ssh-keygen
makes one) the terminal shows a code for the page, once for each person; then the key stands for them for a working day.

1. As alice, ask for a shell on prod-db.

     ${ssh} alice${at} request prod-db --role operator --for 5m --reason "INC-42 disk full"

2. As bob, approve it (or on ${report.https.url}/requests):

     ${ssh} bob${at} requests
     ${ssh} bob${at} approve 1

3. As alice, log in. After five minutes the session is cut, with a sentence.

     ${ssh} -t alice${at} prod-db
     ${ssh} alice${at} prod-db 'df -h'

${psqlLines(report)}5. As carol, see what happened:

     ${ssh} carol${at} sessions
     ${ssh} -t carol${at} replay <session>

   or in a browser: ${report.https.url}   (the certificate is the demo's own: accept it once)

Hosts: ${report.hosts.map((h) => `${h.name} (${KINDS[h.kind]}, as ${h.account})`).join(', ')}.
They are this very machine: what you do there is real. Everything listens on loopback only.
Data: ${report.dataDir}. Ctrl-C ends all of it.
`
}

function psqlLines({ ssh, postgres }: Report): string {
  if (postgres.port === null) return ''
  return `4. The database, without a password on the laptop: psql shows where to sign in, and waits.
   Nothing that writes gets through.

     ssh -p ${ssh.port} alice@localhost request prod-db --role readonly --for 15m --reason "INC-42 look at orders"
     ssh -p ${ssh.port} bob@localhost approve 2
     psql "host=localhost port=${postgres.port} user=alice dbname=prod-db sslmode=require"

`
}
