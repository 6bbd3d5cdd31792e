/** The words of the API for administrators: targets and roles as configured, people, agents, health. */
import { z } from 'zod'
import { role } from './access.ts'
import { boundKey } from './person.ts'
import { count, minutes, protocol, time } from './wire.ts'

export const adminTargets = z.strictObject({
  targets: z.array(
    z.strictObject({
      name: z.string(),
      description: z.string(),
      labels: z.record(z.string(), z.string()),
      /** Where each endpoint is: `10.0.0.7:22`, an address, or `agent web-1`. Never a secret. */
      endpoints: z.array(z.strictObject({ endpoint: protocol, where: z.string(), login: z.string() })),
      /** Names of the roles that cover it. */
      roles: z.array(z.string()),
    }),
  ),
})

export const adminRoles = z.strictObject({
  roles: z.array(
    z.strictObject({
      role,
      requesters: z.array(z.string()),
      /** `env = production`, or names. */
      covers: z.array(z.string()),
      targets: z.array(z.string()),
    }),
  ),
})

export const adminPeople = z.strictObject({
  people: z.array(
    z.strictObject({
      username: z.string(),
      groups: z.array(z.string()),
      /** Null for somebody who was locked before they ever signed in. */
      seenAt: time.nullable(),
      browsers: count,
      passkeys: count,
      keys: z.array(boundKey),
      tokenUntil: time.nullable(),
      lock: z.strictObject({ at: time, by: z.string(), note: z.string() }).nullable(),
      isMe: z.boolean(),
    }),
  ),
})

export const adminAgents = z.strictObject({
  agents: z.array(
    z.strictObject({
      name: z.string(),
      fingerprint: z.string(),
      targets: z.array(z.string()),
      enrolledBy: z.string(),
      enrolledAt: time,
      isRevoked: z.boolean(),
      lines: z.array(
        z.strictObject({
          worker: z.string(),
          address: z.string(),
          version: z.string(),
          /** What it says its host can do. */
          workspaces: z.string(),
          offers: z.array(z.string()),
          since: time,
          seenAt: time,
        }),
      ),
    }),
  ),
})
export const agentName = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'is not the name of an agent')
export const agentTokenBody = z.strictObject({
  agent: agentName,
  targets: z
    .array(z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'is not the name of a target'))
    .min(1)
    .max(50),
  minutes: minutes.optional(),
})
/** Shown once. */
export const agentTokenMade = z.strictObject({ token: z.string() })

export const health = z.strictObject({
  version: z.string(),
  /** Null while the supervisor has not spoken yet. */
  workers: z.strictObject({ ready: count, wanted: count, restarts: count }).nullable(),
  journal: z.strictObject({
    isOpen: z.boolean(),
    /** What is written here and not shipped yet. */
    backlogBytes: count.nullable(),
    oldestSeconds: z.number().nullable(),
    mostBytes: count,
  }),
  audit: z.strictObject({ isReachable: z.boolean(), kind: z.enum(['embedded', 'server']) }),
  /** The last answer of the state store. */
  state: z.strictObject({ seenAt: time, kind: z.enum(['embedded', 'server']) }),
  providers: z.array(z.strictObject({ title: z.string(), isReachable: z.boolean() })),
})

export type AdminTargets = z.infer<typeof adminTargets>
export type AdminRoles = z.infer<typeof adminRoles>
export type AdminPeople = z.infer<typeof adminPeople>
export type AdminAgents = z.infer<typeof adminAgents>
export type AgentTokenMade = z.infer<typeof agentTokenMade>
export type HealthView = z.infer<typeof health>
