/** Identity on a real store with a clock that can be moved, once per worker, and everything that auditors were told. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createIdentity,
  type IdentityRoom,
  type IdentitySettings,
  type ProviderSettings,
} from '../../gateway/identity/identity.ts'
import type { AuditEvent } from '../../gateway/model/event.ts'
import type { Identity, Subject, Username } from '../../gateway/model/identity.ts'
import { silent } from '../../gateway/model/log.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { Refusal, type RefusalCode } from '../../gateway/model/refusal.ts'
import { openState, type State } from '../../gateway/state/state.ts'
import type { IdpPerson } from '../../tools/demo/idp.ts'
import { CLIENT, type DemoIdp, type Page, ScriptedBrowser } from '../fixtures/idp.ts'

type Test = { teardown(work: () => unknown): void }

export const PUBLIC = 'https://gateway.test'
export const HERE = '192.0.2.10'

export type World = {
  readonly rooms: readonly IdentityRoom[]
  /** The first worker. */
  readonly room: IdentityRoom
  readonly state: State
  readonly audit: AuditEvent[]
  readonly locked: Map<Subject, string>
  readonly signedOut: Subject[]
  /** Moves the gateway's clock. */
  later(ms: number): void
}

export async function world(
  t: Test,
  providers: readonly ProviderSettings[],
  how: { readonly settings?: Partial<IdentitySettings>; readonly workers?: number } = {},
): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-identity-'))
  let ahead = 0
  const clock = { now: () => (Date.now() + ahead) as Moment }
  const audit: AuditEvent[] = []
  const locked = new Map<Subject, string>()
  const signedOut: Subject[] = []
  const settings: IdentitySettings = {
    publicUrl: PUBLIC,
    providers,
    keyBoundForMs: 8 * 3_600_000,
    approvalWithinMs: 5 * 60_000,
    allowOtherAddress: false,
    signInWaitMs: 120_000,
    sessionIdleMs: 15 * 60_000,
    sessionMostMs: 12 * 3_600_000,
    groupsHoldMs: 12 * 3_600_000,
    ...how.settings,
  }
  const states: State[] = []
  const rooms: IdentityRoom[] = []
  for (let n = 0; n < (how.workers ?? 1); n += 1) {
    const state = await openState({
      url: `sqlite:${join(folder, 'state.db')}`,
      clock,
      log: silent,
      migrate: n === 0,
    })
    states.push(state)
    rooms.push(
      createIdentity({
        state,
        clock,
        log: silent,
        audit: (event) => audit.push(event),
        settings,
        hooks: {
          secret: async () => CLIENT.secret,
          lockOf: async (subject) => locked.get(subject),
          signedOut: (subject) => signedOut.push(subject),
        },
      }),
    )
  }
  t.teardown(async () => {
    await Promise.all(states.map((state) => state.close()))
    rmSync(folder, { recursive: true, force: true })
  })
  const [room] = rooms
  const [state] = states
  if (room === undefined || state === undefined) throw new Error('a world has a worker')
  return { rooms, room, state, audit, locked, signedOut, later: (ms) => void (ahead += ms) }
}

export const browserOf = (...issuers: readonly string[]): ScriptedBrowser =>
  new ScriptedBrowser((url) => issuers.includes(url.origin))

/** Through the demo provider's form, up to where it sends the browser back. */
export async function throughForm(
  browser: ScriptedBrowser,
  location: string,
  idp: DemoIdp,
  who: IdpPerson,
  code = idp.code(who),
): Promise<Page> {
  const page = await browser.open(location)
  return page.status === 0 ? page : browser.submit(page, { user: who.username, password: who.password, otp: code })
}

/** The whole sign-in; what `finishSignIn` gave. */
export async function signIn(
  { room }: { readonly room: IdentityRoom },
  idp: DemoIdp,
  who: IdpPerson,
  how: {
    readonly browser?: ScriptedBrowser
    readonly returnTo?: string
    readonly previous?: string
    readonly stepUp?: boolean
  } = {},
): Promise<{ readonly session: string; readonly returnTo: string; readonly identity: Identity }> {
  const browser = how.browser ?? browserOf(idp.issuer)
  const { returnTo = '/', stepUp = false } = how
  const begun = await room.beginSignIn({ returnTo, address: HERE, stepUp })
  const back = await throughForm(browser, begun.location, idp, who)
  const done = await room.finishSignIn({
    url: new URL(back.url),
    cookie: begun.cookie,
    address: HERE,
    previous: how.previous,
  })
  if ('again' in done) throw new Error('the provider was asked again')
  return done
}

/** The code of the Refusal that `work` ends with. */
export async function refusalOf(work: Promise<unknown>): Promise<RefusalCode | 'none'> {
  try {
    await work
    return 'none'
  } catch (failure) {
    if (failure instanceof Refusal) return failure.code
    throw failure
  }
}

export const sshQuestion = (username = 'alice', more: object = {}) => ({
  kind: 'ssh' as const,
  username: username as Username,
  sourceAddress: HERE,
  clientVersion: 'OpenSSH_9.2p1',
  keyFingerprint: 'SHA256:alices-laptop' as string | undefined,
  target: undefined,
  ...more,
})
