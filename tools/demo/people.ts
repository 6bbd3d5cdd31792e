/** The people of the demo: made once per data directory, so that a restart knows them still. */
import { randomBytes, randomInt } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type DemoPerson = {
  readonly username: string
  readonly password: string
  /** Base32, as an authenticator app takes it; undefined: has no second factor. */
  readonly totpSecret: string | undefined
  readonly groups: readonly string[]
  readonly email: string
}

export type DemoMemory = {
  readonly people: readonly DemoPerson[]
  readonly clientSecret: string
  /** What was bound last time: an issuer with another port would be another provider, and its people other people. */
  readonly ports: { ssh: number; https: number; postgres: number; idp: number; admin: number } | undefined
}

const WORDS =
  'amber birch cedar delta ember flint grove heron indigo juniper kelp larch maple north onyx pearl quartz river slate tulip umber violet willow zephyr'.split(
    ' ',
  )
const word = (): string => WORDS[randomInt(WORDS.length)] ?? ''
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const base32 = (): string => [...randomBytes(20)].map((byte) => ALPHABET[byte & 31]).join('')

const WHO: readonly (readonly [string, readonly string[], boolean])[] = [
  ['alice', ['engineers'], true],
  ['erin', ['engineers'], true],
  ['bob', ['leads'], true],
  ['frank', ['leads'], true],
  ['carol', ['auditors'], true],
  ['dave', ['engineers'], false],
  ['mallory', [], true],
]

export function rememberedPeople(
  dataDir: string,
): DemoMemory & { remember(ports: NonNullable<DemoMemory['ports']>): void } {
  const file = join(dataDir, 'demo.json')
  const memory: DemoMemory = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as DemoMemory)
    : {
        people: WHO.map(([username, groups, hasSecondFactor]) => ({
          username,
          password: `${word()}-${word()}-${randomInt(100, 1000)}`,
          totpSecret: hasSecondFactor ? base32() : undefined,
          groups,
          email: `${username}@example.org`,
        })),
        clientSecret: randomBytes(24).toString('base64url'),
        ports: undefined,
      }
  return {
    ...memory,
    remember: (ports) => writeFileSync(file, JSON.stringify({ ...memory, ports }, null, 1), { mode: 0o600 }),
  }
}
