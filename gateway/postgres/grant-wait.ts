/** Admission for a connection: at once, or, where a person looks at a terminal, once their request is approved. */
import type { Grant } from '../model/grant.ts'
import { after, minutesToMs } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { covers, type Role } from '../model/role.ts'
import { noGrantText, roleIn } from '../model/target-name.ts'
import { type AccessDesk, type Admission, type AdmitParts, admit, type Wish } from '../session/session.ts'
import { askCommand, type SshAddress } from './deny.ts'
import { REPEAT_MS, type Say } from './sign-in.ts'
import type { DatabaseName } from './database-name.ts'

export type GrantWaitParts = {
  readonly admit: AdmitParts
  readonly desk: Pick<AccessDesk, 'onChange' | 'requests' | 'roles'>
  readonly sshAddress: SshAddress
  readonly portalUrl: string
  readonly approvalMinutes: number
}

/** Notifications may be lost; grants never stay unseen longer than this. */
const LOOK_AGAIN_MS = 3_000

/** @throws {Refusal} NO_GRANT also for a database that the role does not name: one answer for all that is not theirs. */
export async function admitTo(parts: AdmitParts, wish: Wish, name: DatabaseName): Promise<Admission> {
  const admission = await admit(parts, wish)
  if (!mayUse(admission, name.database)) throw new Refusal('NO_GRANT', noGrantText(wish.target, wish.under))
  return admission
}

function mayUse({ role, target }: Admission, database: string | undefined): boolean {
  const own = target.postgres?.database
  const wanted = database ?? own
  if (wanted === undefined) return false
  return role.postgres.databases.length === 0 ? wanted === own : role.postgres.databases.includes(wanted)
}

/** Adds to a NO_GRANT what the person can do now. */
export async function withNext(why: unknown, parts: GrantWaitParts, wish: Wish): Promise<unknown> {
  if (!(why instanceof Refusal) || why.code !== 'NO_GRANT' || why.next !== undefined) return why
  const command = await commandFor(parts, wish)
  return new Refusal('NO_GRANT', why.message, { cause: why, next: `Ask for one: ${command}` })
}

/** Waits until the grant is there. @throws {Refusal} when it is not after all. */
export async function waitForGrant(
  parts: GrantWaitParts,
  wish: Wish,
  name: DatabaseName,
  say: Say,
  gone: AbortSignal,
): Promise<Admission> {
  const { clock } = parts.admit
  const until = after(clock.now(), minutesToMs(parts.approvalMinutes))
  let toldAt = 0
  for (;;) {
    const change = changed(parts.desk, gone)
    const mayCome = await canBecomeLive(parts, wish)
    try {
      return await admitTo(parts.admit, wish, name)
    } catch (why) {
      const isOver = !mayCome || clock.now() >= until
      if (!(why instanceof Refusal) || why.code !== 'NO_GRANT' || isOver) throw await withNext(why, parts, wish)
    }
    if (clock.now() - toldAt >= REPEAT_MS) {
      toldAt = clock.now()
      say(...(await howToAsk(parts, wish)))
    }
    await change
    if (gone.aborted) throw gone.reason
  }
}

/** A number is one grant's alone: no other one that is asked for meanwhile opens what was named. */
async function canBecomeLive(parts: GrantWaitParts, wish: Wish): Promise<boolean> {
  const { under } = wish
  return under?.kind !== 'grant' || (await ownRequests(parts, wish)).some(({ id }) => id === under.grant)
}

async function ownRequests({ desk }: GrantWaitParts, { identity, target }: Wish): Promise<readonly Grant[]> {
  return (await desk.requests(identity))
    .map(({ grant }) => grant)
    .filter((grant) => grant.subject === identity.subject && grant.target === target && grant.held === undefined)
}

/** As it can be typed: where several roles are possible, one has to be named. */
async function commandFor(
  { admit: { target: targetNamed }, desk, sshAddress }: GrantWaitParts,
  wish: Wish,
): Promise<string> {
  const { identity, target, under } = wish
  const at = targetNamed(target)
  const possible = (role: Role) => at?.postgres !== undefined && role.endpoints.includes('postgres') && covers(role, at)
  const role = roleIn(under) ?? (await desk.roles(identity)).find(possible)?.name
  return askCommand(identity.username, sshAddress, target, role)
}

async function howToAsk(parts: GrantWaitParts, wish: Wish): Promise<[string, string]> {
  const [own] = await ownRequests(parts, wish)
  if (own !== undefined)
    return [`Request ${own.id} for ${wish.target} waits for approval.`, 'This connection goes on once it is approved.']
  const command = await commandFor(parts, wish)
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
