/** `npm run -s demo-code -- alice`: the one-time code of a demo person right now. Takes the newest demo, or --data DIR. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { DemoMemory } from './people.ts'
import { totp } from './totp.ts'

const { values, positionals } = parseArgs({ options: { data: { type: 'string' } }, allowPositionals: true })
const [username = ''] = positionals
const newest = (): string | undefined =>
  readdirSync(tmpdir())
    .filter((name) => name.startsWith('sallyport-demo-'))
    .map((name) => join(tmpdir(), name))
    .filter((path) => existsSync(join(path, 'demo.json')))
    .toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0]
const dir = values.data ?? newest()
if (dir === undefined || username === '') {
  process.stderr.write('Usage: npm run -s demo-code -- PERSON [--data DIR]   (a demo must be running)\n')
  process.exit(2)
}
const { people } = JSON.parse(readFileSync(join(dir, 'demo.json'), 'utf8')) as DemoMemory
const person = people.find((p) => p.username === username)
if (person === undefined) {
  process.stderr.write(`there is no ${username} here; there are: ${people.map((p) => p.username).join(', ')}\n`)
  process.exit(1)
}
process.stdout.write(
  `${person.totpSecret === undefined ? `${username} has no second factor` : totp(person.totpSecret)}\n`,
)
