/** Admission for a connection: at once, or, where a person looks at a terminal, once their request is approved. */
import { after, minutesToMs } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { type AccessDesk, type Admission, type AdmitParts, admit, type Wish } from '../session/session.ts'
import { askCommand } from './deny.ts'
import { REPEAT_MS, type Say } from './sign-in.ts'
import type { TargetName } from './target-name.ts'

export type GrantWaitParts = {
  readonly admit: AdmitParts
  readonly desk: Pick<AccessDesk, 'onChange' | 'requests'>
  readonly gatewayHost: string
  readonly portalUrl: string
  readonly approvalMinutes: number
}

/** Notifications may be lost; grants never stay unseen longer than this. */
const LOOK_AGAIN_MS = 3_000

/** @throws {Refusal} NO_GRANT also for a database that the role does not name: one answer for all that is not theirs. */
export async function admitTo(parts: AdmitParts, wish: Wish, name: TargetName): Promise<Admission> {
  const admission = await admit(parts, wish)
  if (!mayUse(admission, name.database)) throw new Refusal('NO_GRANT', `No live grant for ${wish.target}.`)
  return admission
}

function mayUse({ role, target }: Admission, database: string | undefined): boolean {
  const own = target.postgres?.database
  const wanted = database ?? own
  if (wanted === undefined) return false
  return role.postgres.databases.length === 0 ? wanted === own : role.postgres.databases.includes(wanted)
}

/** Adds to a NO_GRANT what the person can do now. */
export function withNext(why: unknown, parts: GrantWaitParts, wish: Wish): unknown {
  if (!(why instanceof Refusal) || why.code !== 'NO_GRANT' || why.next !== undefined) return why
  const command = askCommand(wish.identity.username, parts.gatewayHost, wish.target, wish.role)
  return new Refusal('NO_GRANT', why.message, { cause: why, next: `Ask for one: ${command}` })
}

/** Waits until the grant is there. @throws {Refusal} when it is not after all. */
export async function waitForGrant(
  parts: GrantWaitParts,
  wish: Wish,
  name: TargetName,
  say: Say,
  gone: AbortSignal,
): Promise<Admission> {
  const { clock } = parts.admit
  const until = after(clock.now(), minutesToMs(parts.approvalMinutes))
  let toldAt = 0
  for (;;) {
    const change = changed(parts.desk, gone)
    try {
      return await admitTo(parts.admit, wish, name)
    } catch (why) {
      if (!(why instanceof Refusal) || why.code !== 'NO_GRANT' || clock.now() >= until) throw withNext(why, parts, wish)
    }
    if (clock.now() - toldAt >= REPEAT_MS) {
      toldAt = clock.now()
      say(...(await howToAsk(parts, wish)))
    }
    await change
    if (gone.aborted) throw gone.reason
  }
}

async function howToAsk(parts: GrantWaitParts, wish: Wish): Promise<[string, string]> {
  const waiting = await parts.desk.requests(wish.identity)
  const own = waiting.find(
    ({ grant }) => grant.subject === wish.identity.subject && grant.target === wish.target && grant.held === undefined,
  )
  if (own !== undefined)
    return [
      `Request ${own.grant.id} for ${wish.target} waits for approval.`,
      'This connection goes on once it is approved.',
    ]
  const command = askCommand(wish.identity.username, parts.gatewayHost, wish.target, wish.role)
  return [
    `There is no live grant for ${wish.target}. Ask for one in another terminal: ${command}`,
    `Or in the browser: ${parts.portalUrl}. This connection goes on once it is approved, and waits ${parts.approvalMinutes} minutes.`,
  ]
}

/** Resolves after the next change, after a while, or when the client is gone. */
function changed(desk: Pick<AccessDesk, 'onChange'>, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      stop()
      gone.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, LOOK_AGAIN_MS)
    const stop = desk.onChange(finish)
    gone.addEventListener('abort', finish, { once: true })
  })
}
