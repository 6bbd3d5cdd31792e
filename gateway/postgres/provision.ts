/**
 * A role per grant on a target: made at the grant's first use, dropped at its end.
 * The password is known to this process only; the target is given its SCRAM verifier, so no log there ever holds it.
 */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Audit } from '../model/event.ts'
import type { GrantId } from '../model/grant.ts'
import type { Log } from '../model/log.ts'
import { after, type Clock, minutesToMs, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { PostgresScope } from '../model/role.ts'
import type { PostgresCredential, PostgresEndpoint, SecretRef, Target } from '../model/target.ts'
import type { Admission } from '../session/session.ts'
import type { RoleIntent, RoleIntents } from './parts.ts'
import { createRole, dropRole, extendRole, orphans } from './role-sql.ts'
import { scramVerifier } from './scram.ts'
import { UpkeepClient } from './upkeep.ts'

export type ProvisionParts = {
  readonly upstream: {
    reach(target: Target, signal: AbortSignal): Promise<Duplex>
    secret(ref: SecretRef): Promise<string>
    readonly intents: RoleIntents
  }
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  readonly settings: { readonly deployment: string; readonly holder: string }
}

export type Account = { readonly username: string; readonly password: string }

type Made = {
  readonly target: Target
  readonly grant: GrantId
  /** What the role was made from: a reload of the configuration may change it under the same grant. */
  readonly from: string
  /** Aborts when another one is made in its place. */
  readonly replaced: AbortController
  readonly account: Promise<Account>
}
/** What a role is made for. */
type Purpose = { readonly scope: PostgresScope; readonly until: () => Moment }

const UPKEEP_MS = 30_000
/** One statement that a second person let through needs no longer; its own timeout is shorter. */
const WRITER_MINUTES = 10

export class Provisioner {
  readonly #parts: ProvisionParts
  readonly #prefix: string
  readonly #made = new Map<string, Made>()
  /** Names of roles that were made for one statement. */
  readonly #writers = new Set<string>()
  /** Drops under way, so that closing can wait for them. */
  readonly #dropping = new Set<Promise<void>>()

  constructor(parts: ProvisionParts) {
    if (!/^[a-z0-9]{1,12}$/.test(parts.settings.deployment)) throw new RangeError('deployment name')
    this.#parts = parts
    this.#prefix = `sallyport_${parts.settings.deployment}_`
  }

  /** The login for this admission. @throws {Refusal} TARGET_UNREACHABLE */
  async account(admission: Admission): Promise<Account> {
    const endpoint = endpointOf(admission.target)
    const { credential } = endpoint
    if (credential.kind === 'static')
      return { username: credential.username, password: await this.#parts.upstream.secret(credential.password) }
    const key = `${admission.target.name} ${admission.grant.id}`
    const from = JSON.stringify([endpoint, admission.role.postgres])
    const known = this.#made.get(key)
    if (known?.from === from) return known.account
    const replaced = new AbortController()
    const account = this.#make(admission, endpoint, { key, replaced: replaced.signal })
    const made: Made = { target: admission.target, grant: admission.grant.id, from, replaced, account }
    this.#made.set(key, made)
    // Its sessions were cut when the configuration changed.
    known?.replaced.abort()
    if (known !== undefined) void this.#dropMade(known, 'the rules of its role changed')
    try {
      return await account
    } catch (failure) {
      if (this.#made.get(key) === made) this.#made.delete(key)
      throw failure
    }
  }

  async #dropMade({ account, grant, target }: Made, why: string): Promise<void> {
    const login = await account.catch(() => undefined)
    if (login !== undefined) await this.#drop(target, login.username, grant, why)
  }

  /** A login that may write, for as long as `work` takes: made for it, dropped after it. */
  async writing<T>(admission: Admission, work: (account: Account) => Promise<T>): Promise<T> {
    const { grant, role, target } = admission
    if (endpointOf(target).credential.kind === 'static') return work(await this.account(admission))
    const { clock } = this.#parts
    const end = after(clock.now(), minutesToMs(WRITER_MINUTES))
    const name = this.#newName(grant.id)
    this.#writers.add(name)
    try {
      const scope: PostgresScope = { ...role.postgres, mode: 'read-write', template: role.hold?.template }
      const { account } = await this.#create(admission, name, { scope, until: () => end })
      return await work(account)
    } finally {
      void this.#drop(target, name, grant.id, 'its statement is over').finally(() => this.#writers.delete(name))
    }
  }

  #newName = (grant: GrantId): string => `${this.#prefix}${grant}_${randomBytes(4).toString('hex')}`

  /** @throws {Refusal} TARGET_UNREACHABLE */
  async #create(
    admission: Admission,
    name: string,
    { scope, until }: Purpose,
  ): Promise<{ readonly account: Account; readonly seconds: () => number; readonly intent: () => RoleIntent }> {
    const { upstream, clock, settings } = this.#parts
    const { target, grant } = admission
    const password = randomBytes(24).toString('base64url')
    const intent = (): RoleIntent => ({
      target: target.name,
      role: name,
      grant: grant.id,
      holder: settings.holder,
      createdAt: clock.now(),
      expiresAt: until(),
    })
    await upstream.intents.put(intent())
    const seconds = () => Math.max(1, Math.ceil((until() - clock.now()) / 1000))
    try {
      const verifier = await scramVerifier(password)
      await this.#on(target, endpointOf(target).database, (client) =>
        createRole(client, { name, verifier, seconds: seconds(), scope }),
      )
    } catch (failure) {
      await this.#drop(target, name, grant.id, 'the role could not be made')
      throw new Refusal('TARGET_UNREACHABLE', `No account could be made on ${target.name}.`, { cause: failure })
    }
    return { account: { username: name, password }, seconds, intent }
  }

  async #make(
    admission: Admission,
    endpoint: PostgresEndpoint,
    { key, replaced }: { readonly key: string; readonly replaced: AbortSignal },
  ): Promise<Account> {
    const { upstream } = this.#parts
    const { target, grant, role } = admission
    const name = this.#newName(grant.id)
    const until = () => admission.grant.expiresAt
    const { account, intent, seconds } = await this.#create(admission, name, { scope: role.postgres, until })
    this.#say('target.provisioned', admission.grant.id, target.name, `Role ${name} was made.`)
    const stop = admission.onNotice((notice) => {
      if (notice.kind !== 'extended') return
      const extended = this.#on(target, endpoint.database, (client) => extendRole(client, name, seconds()))
      void Promise.all([upstream.intents.put(intent()), extended]).catch((error: unknown) =>
        this.#parts.log({ level: 'warn', room: 'postgres', message: 'a role could not be extended', error }),
      )
    })
    const over = () => {
      stop()
      // It was dropped when that was made.
      if (replaced.aborted) return
      this.#made.delete(key)
      void this.#drop(target, name, grant.id, 'the grant ended')
    }
    if (admission.ended.aborted || replaced.aborted) over()
    for (const signal of [admission.ended, replaced]) signal.addEventListener('abort', over, { once: true })
    return account
  }

  /** Never throws: what cannot be dropped now stays an intent, and the sweep comes back to it. */
  #drop(target: Target, name: string, grant: GrantId, why: string): Promise<void> {
    const drop = this.#dropNow(target, name, grant, why).catch((error: unknown) =>
      this.#parts.log({ level: 'warn', room: 'postgres', message: 'a role could not be dropped', error }),
    )
    this.#dropping.add(drop)
    return drop.finally(() => this.#dropping.delete(drop))
  }

  async #dropNow(target: Target, name: string, grant: GrantId, why: string): Promise<void> {
    await this.#on(target, endpointOf(target).database, (client) =>
      dropRole(client, name, (database, run) => this.#on(target, database, run)),
    )
    await this.#parts.upstream.intents.remove(target.name, name)
    this.#say('target.deprovisioned', grant, target.name, `Role ${name} was dropped: ${why}.`)
  }

  /** Drops what nobody keeps. @returns the names of the roles dropped. */
  async sweep(target: Target, keep: (intent: RoleIntent) => boolean | Promise<boolean>): Promise<readonly string[]> {
    const endpoint = target.postgres
    if (endpoint?.credential.kind !== 'provision') return []
    const { intents } = this.#parts.upstream
    return this.#on(target, endpoint.database, async (client) => {
      const roles = await orphans(client, this.#prefix)
      if (roles === undefined) return []
      // Intents are read after the roles: whoever makes a role writes its intent first.
      const known = new Map((await intents.list(target.name)).map((intent) => [intent.role, intent]))
      const dropped: string[] = []
      for (const name of new Set([...roles, ...known.keys()])) {
        if (!name.startsWith(this.#prefix)) continue
        const intent = known.get(name)
        const own = this.#writers.has(name) || (intent?.holder === this.#parts.settings.holder && this.#isMade(intent))
        if (own || (intent !== undefined && (await keep(intent)))) continue
        if (await this.#dropOrphan(client, target, name, intent)) dropped.push(name)
      }
      return dropped
    })
  }

  /** One that cannot be dropped must not keep the others. */
  async #dropOrphan(
    client: UpkeepClient,
    target: Target,
    name: string,
    intent: RoleIntent | undefined,
  ): Promise<boolean> {
    try {
      await dropRole(client, name, (database, run) => this.#on(target, database, run))
      await this.#parts.upstream.intents.remove(target.name, name)
    } catch (error) {
      const details = { target: target.name, role: name }
      this.#parts.log({ level: 'warn', room: 'postgres', message: 'a role could not be dropped', details, error })
      return false
    }
    this.#say('target.orphan-dropped', intent?.grant, target.name, `Role ${name} had nobody left and was dropped.`)
    return true
  }

  #isMade(intent: RoleIntent): boolean {
    return this.#made.has(`${intent.target} ${intent.grant}`)
  }

  /** Drops every role this process made. */
  async close(): Promise<void> {
    const made = [...this.#made.values()]
    this.#made.clear()
    await Promise.all(made.map((one) => this.#dropMade(one, 'the gateway stops')))
    await Promise.all(this.#dropping)
  }

  async #on<T>(target: Target, database: string, run: (client: UpkeepClient) => Promise<T>): Promise<T> {
    const endpoint = endpointOf(target)
    const { credential } = endpoint
    const password = await this.#parts.upstream.secret(credential.password)
    const line = await this.#parts.upstream.reach(target, AbortSignal.timeout(UPKEEP_MS))
    const client = await UpkeepClient.open(line, endpoint, {
      username: credential.username,
      password,
      database,
      parameters: new Map([
        ['application_name', 'sallyport'],
        ['client_encoding', 'UTF8'],
        ['search_path', 'pg_catalog'],
      ]),
    })
    try {
      return await run(client)
    } finally {
      client.close()
    }
  }

  #say(
    kind: 'target.provisioned' | 'target.deprovisioned' | 'target.orphan-dropped',
    grant: GrantId | undefined,
    target: string,
    text: string,
  ): void {
    const at = this.#parts.clock.now()
    const rest = { actor: '', session: undefined, details: {} }
    this.#parts.audit({ id: crypto.randomUUID(), at, kind, grant, target, text, ...rest })
  }
}

function endpointOf(target: Target): PostgresEndpoint & { readonly credential: PostgresCredential } {
  if (target.postgres === undefined) throw new Error('target without a PostgreSQL endpoint')
  return target.postgres
}
