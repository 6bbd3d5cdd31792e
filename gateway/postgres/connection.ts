/** One client from its start-up message to the end of its session: who, which target, may they, on which account, relay. */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Identity, username as readUsername } from '../model/identity.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import { Refusal } from '../model/refusal.ts'
import type { PostgresEndpoint } from '../model/target.ts'
import { type Admission, openSession, type Session, type SharedReads, type Wish } from '../session/session.ts'
import type { CancelKeys } from './cancel.ts'
import type { SqlJudge } from './judge.ts'
import { noteRefused } from './deny.ts'
import { admitTo, type GrantWaitParts, waitForGrant, withNext } from './grant-wait.ts'
import type { Greeted } from './greeting.ts'
import { backendKeyData, parameterStatus, readyForQuery, report } from './message.ts'
import type { MachineGrants } from './machine-grant.ts'
import type { PostgresParts } from './parts.ts'
import type { Account, Provisioner } from './provision.ts'
import { Closed } from './reader.ts'
import { Relay, type RelayEnd } from './relay.ts'
import type { Asking, Say, SignedIn, SignInDoor } from './sign-in.ts'
import { targetParameters, writerParameters } from './startup.ts'
import { type DatabaseName, readDatabaseName } from './database-name.ts'
import { Tripwire } from './tripwire.ts'
import { UpkeepClient } from './upkeep.ts'
import { cancelOn, logIn, type Upstream } from './upstream.ts'
import { Keeper } from './keeper.ts'
import { touchedWords } from './touched.ts'
import { Workspace } from './workspace.ts'
import { type Runner, Writer } from './writer.ts'

export type KnownClient = {
  readonly identity: Identity
  readonly passkey: PasskeyProof | undefined
  /** Before anything is opened on the target. */
  readonly opened: (session: Session) => void
}

export type ConnectionParts = {
  readonly parts: PostgresParts
  readonly client: Extract<Greeted, { type: 'client' }>
  readonly address: string
  readonly cancels: CancelKeys
  readonly reads: SharedReads
  readonly machineGrants: MachineGrants
  readonly signIns: SignInDoor
  /** Somebody who signed in elsewhere: a page of ours. */
  readonly known?: KnownClient | undefined
  readonly provisioner: Provisioner
  /** Aborts when the gateway stops. */
  readonly closing: AbortSignal
  readonly signedIn: () => void
  /** From now on a person is waited for, who takes their time. */
  readonly waits: () => void
}

/** Where a session runs, and as whom. */
type Place = {
  readonly endpoint: PostgresEndpoint
  readonly account: Account
  readonly database: string
  readonly parameters: ReadonlyMap<string, string>
}

const ASKING = new Map([
  ['application_name', 'sallyport'],
  ['client_encoding', 'UTF8'],
  ['default_transaction_read_only', 'on'],
])
const DIAL_MS = 15_000
const CANCEL_MS = 5_000

export class Connection {
  readonly #has: ConnectionParts
  readonly #gone = new AbortController()
  /** Fingerprint of the one that signed in. */
  #certificate: string | undefined

  constructor(has: ConnectionParts) {
    this.#has = has
  }

  /** @throws what the client is to be told before the connection ends. */
  async run(): Promise<void> {
    const { client, closing } = this.#has
    const leave = () => this.#gone.abort(new Closed('the client closed the connection'))
    const stop = () => this.#gone.abort(closing.reason)
    client.stream.once('close', leave)
    closing.addEventListener('abort', stop, { once: true })
    try {
      const admitted = await this.#admitted()
      this.#has.signedIn()
      await this.#session(admitted.admission, admitted.name)
    } finally {
      client.stream.off('close', leave)
      closing.removeEventListener('abort', stop)
    }
  }

  async #admitted(): Promise<{ readonly admission: Admission; readonly name: DatabaseName }> {
    const { parts, client, address, signIns } = this.#has
    const user = client.parameters.get('user') ?? ''
    const username = readUsername(user)
    if (username === undefined) throw new Refusal('NOT_SIGNED_IN', 'This is no user name of the gateway.')
    const database = client.parameters.get('database') ?? user
    const name = readDatabaseName(database)
    const clientVersion = (client.parameters.get('application_name') ?? '').slice(0, 64)
    const asking: Asking = { username, address, clientVersion, target: database.slice(0, 200) }
    const say: Say = (text, hint) => {
      this.#has.waits()
      client.stream.write(report({ severity: 'NOTICE', code: '00000', message: text, hint }))
    }
    const { known } = this.#has
    const first: SignedIn =
      known === undefined
        ? await signIns.identify(client, asking, say, this.#gone.signal)
        : { identity: known.identity, how: 'page' }
    if (name === undefined)
      throw new Refusal('NO_GRANT', `No live grant for ${database.slice(0, 80)}.`, {
        next: 'The database names a target: psql -h … -U … TARGET',
      })
    const admit = async ({ identity, how, fingerprint256 }: SignedIn): Promise<Admission> => {
      this.#certificate = fingerprint256
      const { target, under } = name
      const wish: Wish = { identity, target, under, protocol: 'postgres', passkey: known?.passkey }
      const waiting = this.#waiting()
      const enter = (wanted: Wish) =>
        this.#isPerson(how)
          ? waitForGrant(waiting, wanted, name, say, this.#gone.signal)
          : admitTo(parts.access.admit, wanted, name)
      try {
        return await enter(wish).catch(async (why: unknown) => {
          if (fingerprint256 !== undefined && why instanceof Refusal && why.code === 'NO_GRANT')
            return this.#enterMachine(wish, fingerprint256, enter)
          if (!(why instanceof Refusal) || why.code !== 'PASSKEY_MISSING' || how === 'certificate' || !this.#isPsql())
            throw why
          return enter({ ...wish, passkey: await signIns.touch(asking, wish, say, this.#gone.signal) })
        })
      } catch (why) {
        noteRefused(parts.edge.audit, parts.open.clock.now(), wish, why)
        throw await withNext(why, waiting, wish)
      }
    }
    const admission = await admit(first).catch((why: unknown) => {
      const stale = why instanceof Refusal && why.code === 'MFA_MISSING' && first.how === 'lease'
      if (stale) return undefined
      throw why
    })
    if (admission !== undefined && (first.how !== 'lease' || (await signIns.isFor(asking, admission.grant.id)))) {
      if (first.how === 'browser') await signIns.remember(asking, first.identity, admission.grant.id)
      return { admission, name }
    }
    const again = await signIns.identify(client, asking, say, this.#gone.signal, { fresh: true })
    const renewed = await admit(again)
    await signIns.remember(asking, again.identity, renewed.grant.id)
    return { admission: renewed, name }
  }

  /** Somebody who just used a browser is looking at psql; a program with a token is better off with an error at once. */
  #isPerson(how: SignedIn['how']): boolean {
    return this.#isPsql() && (how === 'browser' || how === 'lease')
  }

  #isPsql(): boolean {
    const { parameters } = this.#has.client
    return parameters.get('application_name') === 'psql' && !parameters.has('options')
  }

  #waiting(): GrantWaitParts {
    const { access, edge } = this.#has.parts
    const { sshAddress, portalUrl, approvalMinutes } = edge.settings
    return { admit: access.admit, desk: access.desk, sshAddress, portalUrl, approvalMinutes }
  }

  async #session(admission: Admission, name: DatabaseName): Promise<void> {
    const { parts, client, address, provisioner } = this.#has
    const endpoint = admission.target.postgres
    if (endpoint === undefined) throw new Refusal('NO_GRANT', `No live grant for ${name.target}.`)
    const database = name.database ?? endpoint.database
    const parameters = targetParameters(client.parameters, admission.role)
    const account = await provisioner.account(admission)
    const session = await openSession(parts.open, admission, {
      account: account.username,
      channel: 'query',
      command: database,
      clientAddress: address,
      clientVersion: this.#clientVersion(),
      terminal: undefined,
    })
    let end: RelayEnd = { cause: 'failed', detail: 'The session could not begin.', exitCode: undefined }
    try {
      this.#has.known?.opened(session)
      const line = await this.#dial(session)
      const upstream = await logIn(line, endpoint, { ...account, database, parameters })
      const place = { endpoint, account, database, parameters }
      if (admission.role.postgres.workspace === undefined) end = await this.#relay(session, upstream, place)
      else {
        const opened = await Workspace.open(upstream, admission.role.postgres.recordParameters)
        end = await this.#relay(session, opened.upstream, place, opened.workspace)
        noted(session, touchedWords(await opened.workspace.over))
      }
    } catch (failure) {
      if (failure instanceof Refusal) end = { ...end, detail: failure.message }
      throw failure
    } finally {
      await session.close(end)
    }
  }

  #clientVersion(): string {
    const said = (this.#has.client.parameters.get('application_name') ?? '').slice(0, 200)
    return this.#certificate === undefined ? said : `${said} (certificate ${this.#certificate})`.trimStart()
  }

  /** @throws {Refusal} NO_GRANT where the rule of its role asks people. */
  async #enterMachine(
    wish: Wish,
    fingerprint256: string,
    enter: (wanted: Wish) => Promise<Admission>,
  ): Promise<Admission> {
    if (await this.#has.machineGrants.ask(wish, fingerprint256)) return enter(wish)
    throw new Refusal('NO_GRANT', `No live grant for ${wish.target}.`, {
      next: `A machine comes in by a role whose rule is auto; where it has several, TARGET%ROLE names one.`,
    })
  }

  async #dial(session: Session): Promise<Duplex> {
    const { parts } = this.#has
    // The dialer may keep listening to its signal; ours is only about the time until there is a line.
    const dialing = new AbortController()
    const sources = AbortSignal.any([this.#gone.signal, session.ended, AbortSignal.timeout(DIAL_MS)])
    const stop = () => dialing.abort(sources.reason)
    if (sources.aborted) stop()
    else sources.addEventListener('abort', stop, { once: true })
    try {
      const line = await parts.upstream.dial(session.admission, dialing.signal)
      if (line instanceof Socket) line.setNoDelay(true)
      return line
    } catch (failure) {
      if (this.#gone.signal.aborted) throw this.#gone.signal.reason
      if (session.ended.aborted) throw session.ended.reason
      if (failure instanceof Refusal) throw failure
      const { name } = session.admission.target
      throw new Refusal('TARGET_UNREACHABLE', `${name} cannot be reached.`, { cause: failure })
    } finally {
      sources.removeEventListener('abort', stop)
    }
  }

  async #relay(session: Session, upstream: Upstream, place: Place, workspace?: Workspace): Promise<RelayEnd> {
    const { parts, client, cancels, reads, closing } = this.#has
    const { target } = session.admission
    const unsafe = Tripwire.unsafe(upstream.parameters, session.admission)
    const judge = await this.#judge(session, upstream, place, unsafe).catch((failure: unknown) => {
      upstream.stream.destroy()
      throw failure
    })
    if (client.stream.destroyed) {
      upstream.stream.destroy()
      throw new Closed('the client closed the connection')
    }
    const cancel = () => {
      const signal = AbortSignal.timeout(CANCEL_MS)
      parts.upstream.reach(target, signal).then(
        (line) => cancelOn(line, place.endpoint, upstream.processId, upstream.key),
        (error: unknown) => parts.edge.log({ level: 'warn', room: 'postgres', message: 'a cancel failed', error }),
      )
    }
    const { clock } = parts.open
    const writer = this.#writer(session, upstream, place, workspace)
    const relay = new Relay({ session, judge, client: client.stream, upstream, clock, reads, cancel, writer })
    const key = cancels.add(() => relay.interrupt())
    const stop = () => relay.cut(closing.reason)
    closing.addEventListener('abort', stop, { once: true })
    try {
      client.stream.write(
        Buffer.concat([
          ...[...upstream.parameters].map(([name, value]) => parameterStatus(name, value)),
          backendKeyData(key.processId, key.key),
          readyForQuery('I'),
        ]),
      )
      return await relay.run(client.reader.release())
    } finally {
      key.remove()
      closing.removeEventListener('abort', stop)
    }
  }

  /** Where the role has statements wait for a second person. */
  #writer(
    session: Session,
    { parameters: reported }: Upstream,
    place: Place,
    workspace: Workspace | undefined,
  ): Runner | undefined {
    const { parts, provisioner } = this.#has
    const { admission, hold } = session
    const { role, target } = admission
    if (hold === undefined || (role.hold?.postgres ?? []).length === 0) return undefined
    if (workspace !== undefined) return new Keeper(workspace, place.database)
    return new Writer({
      endpoint: place.endpoint,
      database: place.database,
      login: (work) => provisioner.writing(admission, work),
      dial: () => this.#dial(session),
      reach: () => parts.upstream.reach(target, AbortSignal.timeout(CANCEL_MS)),
      parameters: () => writerParameters(place.parameters, reported),
      statementTimeoutMs: role.postgres.statementTimeoutMs,
    })
  }

  async #judge(
    { admission }: Session,
    upstream: Upstream,
    { endpoint, account, database, parameters }: Place,
    unsafe: string | undefined,
  ): Promise<SqlJudge> {
    const { parts } = this.#has
    const { role, target } = admission
    if (unsafe !== undefined) throw new Refusal('UNAVAILABLE', `A read-only session is not possible: ${unsafe}.`)
    const ask = async (statements: readonly string[]) => {
      const line = await parts.upstream.reach(target, AbortSignal.timeout(DIAL_MS))
      const own = await UpkeepClient.open(line, endpoint, { ...account, database, parameters: ASKING })
      try {
        return await Promise.all(statements.map((statement) => own.query(statement)))
      } finally {
        own.close()
      }
    }
    const serverVersion = upstream.parameters.get('server_version') ?? ''
    return parts.createJudge(role, {
      target: target.name,
      database,
      account: account.username,
      parameters,
      serverVersion,
      ask,
    })
  }
}

function noted(session: Session, text: string): void {
  try {
    session.recording.take('m', text)
  } catch {
    // The journal is broken, and has ended the session by itself.
  }
}
