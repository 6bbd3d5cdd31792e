/** The API for administrators: what is configured, who is known, agents, health. Every deed is an audit event of the room that does it. */
import { covers, type Role } from '../model/role.ts'
import { protocolsOf, type Target } from '../model/target.ts'
import type { App } from './application.ts'
import type { ControlRoom } from './control-room.ts'
import type { PortalParts } from './parts.ts'
import { roleView } from './role-view.ts'
import * as adminWords from './schema/admin.ts'
import * as wire from './schema/wire.ts'
import { agentParams, answers, personParams } from './shapes.ts'
import { iso } from './views.ts'
import { visitorOf } from './visitor.ts'

const TOKEN_MINUTES = 15

type Parts = Pick<PortalParts, 'desk'> & { readonly room: ControlRoom }

export function adminRoutes(app: App, { desk, room }: Parts): void {
  const tags = ['administration']

  app.route({
    method: 'GET',
    url: '/admin/targets',
    schema: { summary: 'All targets as configured', tags, response: answers(adminWords.adminTargets) },
    handler: async () => ({ targets: room.targets().map((target) => targetRow(target, room.roles())) }),
  })

  app.route({
    method: 'GET',
    url: '/admin/roles',
    schema: { summary: 'All roles, in plain words', tags, response: answers(adminWords.adminRoles) },
    handler: async () => ({ roles: room.roles().map((role) => roleRow(role, room.targets())) }),
  })

  app.route({
    method: 'GET',
    url: '/admin/people',
    schema: {
      summary: 'Everybody who ever signed in or is locked: what lets them in just now',
      tags,
      response: answers(adminWords.adminPeople),
    },
    handler: async (request) => {
      const { identity } = visitorOf(request)
      const [known, locks] = await Promise.all([room.people.list(), desk.locks(identity)])
      const lockOf = (username: string) => {
        const lock = locks.find((one) => one.username === username)
        return lock === undefined ? null : { at: iso(lock.at), by: lock.by, note: lock.note }
      }
      const strangers = locks.filter(({ username }) => !known.some((person) => person.username === username))
      return {
        people: [
          ...known.map(({ username, groups, seenAt, browsers, passkeys, keys, tokenUntil }) => ({
            username,
            groups: [...groups],
            seenAt: iso(seenAt),
            browsers,
            passkeys,
            keys: keys.map((key) => ({ ...key, boundAt: iso(key.boundAt), expiresAt: iso(key.expiresAt) })),
            tokenUntil: tokenUntil === undefined ? null : iso(tokenUntil),
            lock: lockOf(username),
            isMe: username === identity.username,
          })),
          ...strangers.map(({ username }) => ({
            username,
            groups: [],
            seenAt: null,
            browsers: 0,
            passkeys: 0,
            keys: [],
            tokenUntil: null,
            lock: lockOf(username),
            isMe: false,
          })),
        ],
      }
    },
  })

  app.route({
    method: 'POST',
    url: '/admin/people/:username/sign-out',
    schema: {
      summary: 'End every sign-in, key and token of a person; they may sign in again',
      tags,
      params: personParams,
      body: wire.emptyBody,
      response: answers(wire.done),
    },
    handler: async (request) => {
      await room.people.expel(request.params.username, visitorOf(request).identity)
      return { done: true as const }
    },
  })

  app.route({
    method: 'GET',
    url: '/admin/agents',
    schema: { summary: 'Agents and their lines', tags, response: answers(adminWords.adminAgents) },
    handler: async () => ({
      agents: (await room.agents.agents()).map((agent) => ({
        ...agent,
        targets: [...agent.targets],
        enrolledAt: iso(agent.enrolledAt),
        lines: agent.lines.map((line) => ({
          ...line,
          offers: [...line.offers],
          since: iso(line.since),
          seenAt: iso(line.seenAt),
        })),
      })),
    }),
  })

  app.route({
    method: 'POST',
    url: '/admin/agents',
    schema: {
      summary: 'A token with which one agent enrols once; an agent of that name gets a new key by it',
      tags,
      body: adminWords.agentTokenBody,
      response: answers(adminWords.agentTokenMade),
    },
    handler: async (request) => {
      const { agent, targets, minutes } = request.body
      const forMs = (minutes ?? TOKEN_MINUTES) * 60_000
      return { token: await room.agents.issue(visitorOf(request).identity.username, { agent, targets, forMs }) }
    },
  })

  app.route({
    method: 'POST',
    url: '/admin/agents/:name/revoke',
    schema: {
      summary: 'An agent is out, now; sessions through it end',
      tags,
      params: agentParams,
      body: wire.emptyBody,
      response: answers(wire.done),
    },
    handler: async (request) => {
      await room.agents.revoke(visitorOf(request).identity.username, request.params.name)
      return { done: true as const }
    },
  })

  app.route({
    method: 'GET',
    url: '/admin/health',
    schema: { summary: 'How this gateway is', tags, response: answers(adminWords.health) },
    handler: async () => {
      const { workers, journal, state, providers, ...rest } = await room.health()
      return {
        ...rest,
        workers: workers ?? null,
        journal: {
          ...journal,
          backlogBytes: journal.backlogBytes ?? null,
          oldestSeconds: journal.oldestSeconds ?? null,
        },
        state: { ...state, seenAt: iso(state.seenAt) },
        providers: [...providers],
      }
    },
  })
}

function targetRow(target: Target, roles: readonly Role[]): adminWords.AdminTargets['targets'][number] {
  return {
    name: target.name,
    description: target.description,
    labels: { ...target.labels },
    endpoints: protocolsOf(target).map((endpoint) => ({ endpoint, ...addressOf(target, endpoint) })),
    roles: roles.filter((role) => covers(role, target)).map(({ name }) => name),
  }
}

/** Where it is and how we log in there, without the credential itself. */
function addressOf(target: Target, endpoint: 'ssh' | 'postgres' | 'http') {
  const { ssh, postgres, http } = target
  if (endpoint === 'http') return { where: http?.url ?? '', login: http?.credential?.kind ?? '' }
  const at = endpoint === 'ssh' ? ssh : postgres
  const where = at?.agent === undefined ? `${at?.host}:${at?.port}` : `agent ${at.agent}`
  if (endpoint === 'ssh')
    return { where, login: [ssh?.credential.kind, ssh?.account].filter((word) => word !== undefined).join(' ') }
  return { where, login: `${postgres?.credential.kind} ${postgres?.credential.username}` }
}

function roleRow(role: Role, targets: readonly Target[]): adminWords.AdminRoles['roles'][number] {
  return {
    role: roleView(role),
    requesters: [...role.requesters],
    covers: [...Object.entries(role.targets.labels).map(([key, value]) => `${key} = ${value}`), ...role.targets.names],
    targets: targets.filter((target) => covers(role, target)).map(({ name }) => name),
  }
}
