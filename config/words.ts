/** The small words of a configuration: durations, addresses, references to secrets. */
import { z } from 'zod'

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `90s`, `30m`, `1h30m`, `2d` → milliseconds; undefined when it is none. */
export function milliseconds(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined
  let sum = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    sum += Number(number) * UNITS[unit as keyof typeof UNITS]
  return Math.round(sum)
}

/** A span, parsed to milliseconds. */
export const duration = z.string('a span with its unit: 90s, 30m, 8h or 1h30m').transform((text, context) => {
  const ms = milliseconds(text)
  if (ms !== undefined && ms > 0) return ms
  context.addIssue({ code: 'custom', message: `"${text}" is not a duration; write 90s, 30m, 8h or 1h30m` })
  return z.NEVER
})

export type HostPort = { readonly host: string; readonly port: number }

/** `127.0.0.1:2222`, `[::1]:22`, `db.internal:5432`. Port 0 takes a free one. */
export const hostPort = z.string('host:port, like 127.0.0.1:2222').transform((text, context): HostPort => {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3] ?? Number.NaN)
  if (match !== null && port <= 65_535) return { host: match[1] ?? match[2] ?? '', port }
  context.addIssue({ code: 'custom', message: `"${text}" is not host:port, like 127.0.0.1:2222` })
  return z.NEVER
})

/** Never the secret itself: `env:NAME` or `file:/path`. */
export const secretRef = z
  .string()
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/, 'a secret is given by reference: env:NAME or file:/path')

/** Names of targets and roles: nothing in them needs quoting on any wire. */
export const name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'names are lower-case letters, digits and hyphens, and begin with a letter')

export const groups = z.array(z.string().min(1))
