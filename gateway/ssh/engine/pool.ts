/** Connections to targets: several channels of one client connection under one grant share one of ours. */
import type { Duplex } from 'node:stream'
import type { Moment } from '../../model/moment.ts'
import { Fault, Refusal } from '../../model/refusal.ts'
import type { SecretRef, SshEndpoint, Target } from '../../model/target.ts'
import type { Admission, Session } from '../../session/session.ts'
import type { SigningKey } from './authority.ts'
import type { Client } from './contract.ts'
import { hostTrust } from './host-trust.ts'
import { type Credential, certificateCredential, keyCredential } from './login.ts'
import type { Ssh2 } from './ssh2.ts'
import { connectUpstream, type Upstream } from './upstream.ts'
import { workspaceOf } from './workspace.ts'

/** A client that leaves because its session was cut must not take the last command to the target along. */
const LINGER_MS = 400

export type PoolParts = {
  readonly ssh2: Ssh2
  readonly ident: string
  readonly authority: SigningKey
  readonly now: () => Moment
  readonly upstreams: {
    dial(admission: Admission, signal?: AbortSignal): Promise<Duplex>
    secret(ref: SecretRef): Promise<Buffer>
    hostKey(target: Target): Promise<string | undefined>
    workspaces(target: Target): string | undefined
  }
}

export type Pool = {
  /** `outside`: past a workspace that only a read-only shell implied, for what may write: files by the role's own list, a command that a second person let through. */
  connect(connection: Client, session: Session, where?: 'outside'): Promise<Upstream>
}

export function createPool(parts: PoolParts): Pool {
  const pools = new WeakMap<Client, Map<string, Promise<Upstream>>>()

  return {
    connect: (connection, session, where) => {
      const { grant, role, target } = session.admission
      // All that the line was opened by: a reload of the configuration may have changed any of it under the same grant.
      const { workspace } = role.ssh
      const name = JSON.stringify([grant.id, target.name, target.ssh, accountOf(session.admission), workspace, where])
      const pool = pools.get(connection) ?? new Map<string, Promise<Upstream>>()
      pools.set(connection, pool)
      const existing = pool.get(name)
      if (existing !== undefined) return existing
      const fresh = connect(connection, session, where)
      pool.set(name, fresh)
      void keep(connection, fresh, () => {
        if (pool.get(name) === fresh) pool.delete(name)
      })
      return fresh
    },
  }

  async function connect(connection: Client, session: Session, where: 'outside' | undefined): Promise<Upstream> {
    const { admission } = session
    const endpoint = endpointOf(admission)
    const account = accountOf(admission)
    const trust = await trustOf(endpoint, admission.target)
    const workspace = isOutside(admission, where)
      ? undefined
      : workspaceOf(admission, parts.upstreams.workspaces(admission.target))
    const credential = await credentialFor(session, endpoint, { account, workspace })
    const signal = AbortSignal.any([session.ended, connection.closed])
    const stream = await parts.upstreams.dial(admission, connection.closed)
    return connectUpstream({
      ssh2: parts.ssh2,
      ident: parts.ident,
      stream,
      signal,
      login: { account, credential, trust, target: admission.target.name },
      hasWorkspace: workspace !== undefined,
    })
  }

  async function trustOf(endpoint: SshEndpoint, target: Target) {
    const { authorities, keys, knownHosts } = endpoint.trust
    const isPinned = authorities.length + keys.length + knownHosts.length > 0
    const own = isPinned || endpoint.agent === undefined ? undefined : await parts.upstreams.hostKey(target)
    if (!isPinned && endpoint.agent !== undefined && own === undefined)
      throw new Refusal('TARGET_UNREACHABLE', `${target.name} cannot be reached: its agent is not enrolled.`)
    try {
      const trust = own === undefined ? endpoint.trust : { ...endpoint.trust, keys: [own] }
      return hostTrust(trust, endpoint.host, endpoint.port, parts.now)
    } catch (cause) {
      throw new Fault(`The host keys of ${target.name} are not configured well.`, { cause })
    }
  }

  async function credentialFor(
    session: Session,
    endpoint: SshEndpoint,
    { account, workspace }: { readonly account: string; readonly workspace: string | undefined },
  ): Promise<Credential> {
    const { grant, identity } = session.admission
    if (endpoint.credential.kind === 'ca' || workspace !== undefined) {
      const keyId = `${identity.username} grant=${grant.id} session=${session.id}`
      const option = workspace === undefined ? undefined : { name: 'workspace@sallyport', value: workspace }
      return certificateCredential(parts.authority, { account, keyId, now: parts.now(), option })
    }
    const secret = await parts.upstreams.secret(endpoint.credential.privateKey)
    return keyCredential(parts.ssh2, secret)
  }
}

const isOutside = ({ role }: Admission, where: 'outside' | undefined): boolean =>
  where === 'outside' && role.ssh.workspace?.isImplied === true

/** Closed with the client's connection; forgotten when it is gone or never came. */
async function keep(connection: Client, fresh: Promise<Upstream>, forget: () => void): Promise<void> {
  try {
    const upstream = await fresh
    const close = () => setTimeout(() => upstream.close(), LINGER_MS)
    upstream.closed.addEventListener('abort', () => {
      forget()
      connection.closed.removeEventListener('abort', close)
    })
    if (upstream.closed.aborted) forget()
    if (connection.closed.aborted) close()
    else connection.closed.addEventListener('abort', close, { once: true })
  } catch {
    forget()
  }
}

function endpointOf(admission: Admission): SshEndpoint {
  const { ssh } = admission.target
  if (admission.protocol !== 'ssh' || ssh === undefined) throw new Fault('An admission for something else than SSH.')
  return ssh
}

/** @throws {Refusal} NOT_ALLOWED */
export function accountOf(admission: Admission): string {
  const account = admission.role.account ?? endpointOf(admission).account
  if (account === undefined || !/^[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}$/.test(account))
    throw new Refusal('NOT_ALLOWED', `Role ${admission.role.name} names no account on ${admission.target.name}.`)
  return account
}
