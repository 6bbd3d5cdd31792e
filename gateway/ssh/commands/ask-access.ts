/** Asking for access in the terminal that wants it: role, time, reason, then waiting, and going on in the same connection. */
import type { Grant } from '../../model/grant.ts'
import { Refusal } from '../../model/refusal.ts'
import { nearest } from '../../model/nearest.ts'
import type { Role } from '../../model/role.ts'
import { noGrantText, roleIn, type TargetName } from '../../model/target-name.ts'
import type { TargetView } from '../../session/session.ts'
import { choose } from '../screen/menu.ts'
import { askLine } from '../screen/prompt.ts'
import { plain } from '../screen/text.ts'
import { type Context, typed } from './command.ts'
import { reservedWords } from './commands.ts'
import { approvers } from './listings.ts'
import { minutesOf, spanOf } from './spans.ts'
import { saidOf, untilDecided } from './waiting.ts'

/** What to say where nothing can be asked for: exact, and the same for an unknown and for a forbidden target. */
export async function noGrant(context: Context, { target, under }: TargetName): Promise<Refusal> {
  if (under?.kind === 'grant')
    return new Refusal('NO_GRANT', noGrantText(target, under), { next: `See yours: ${typed(context, 'grants')}` })
  const views = await context.desk.targets(context.identity)
  const view = views.find((one) => one.target.name === target)
  const name = plain(target, 64)
  if (view === undefined) {
    const meant = nearest(target, [...views.map((one) => one.target.name), ...reservedWords])
    return new Refusal('NO_GRANT', `No live grant for ${name}.`, {
      next:
        meant === undefined
          ? `See what you may ask for: ${typed(context, 'targets')}, and all commands: ${typed(context, 'help')}`
          : `Did you mean ${meant}? See what you may ask for: ${typed(context, 'targets')}`,
    })
  }
  const wanted = roleIn(under) ?? sshRoles(view)[0]?.name ?? view.roles[0]?.name ?? 'ROLE'
  return new Refusal('NO_GRANT', `No live grant for ${name}.`, {
    next: `Ask for one: ${typed(context, `request ${name} --role ${wanted} --for 30m --reason "why"`)}`,
  })
}

/**
 * Needs a terminal. Returns with a live grant.
 *
 * @throws {Refusal} when the person leaves, is refused, or there is nothing to ask for.
 */
export async function askForAccess(context: Context, place: TargetName): Promise<Grant> {
  const { target, under } = place
  const named = roleIn(under)
  const { console, desk, identity } = context
  const view = await viewOf(context, target)
  const roles = view === undefined ? [] : sshRoles(view).filter(({ name }) => named === undefined || name === named)
  if (view === undefined || roles.length === 0) throw await noGrant(context, place)
  const waiting = view.grants.find(
    (grant) =>
      grant.extends === undefined &&
      grant.held === undefined &&
      (grant.state === 'requested' || grant.state === 'approved') &&
      (named === undefined || grant.role === named),
  )
  if (waiting !== undefined) return announced(context, await untilDecided(context, waiting))
  await console.note(`${noGrantText(target, under)} Ask for one (Ctrl-C leaves):\n`)
  const role = await whichRole(context, roles)
  const minutes = await howLong(context, role)
  for (;;) {
    const reason = await why(context)
    try {
      const asked = await desk.request(identity, { target, role: role.name, minutes, reason })
      return await announced(context, asked.state === 'live' ? asked : await untilDecided(context, asked))
    } catch (failure) {
      if (!(failure instanceof Refusal) || failure.code !== 'BAD_INPUT') throw failure
      await console.note(`${plain(failure.message)}\n`)
    }
  }
}

async function announced(context: Context, grant: Grant): Promise<Grant> {
  const [first = ''] = (await saidOf(context, grant)).split('\n')
  await context.console.note(`${context.console.paint('green', plain(first))}\n`)
  return grant
}

async function viewOf(context: Context, target: string): Promise<TargetView | undefined> {
  return (await context.desk.targets(context.identity)).find((view) => view.target.name === target)
}

const sshRoles = (view: TargetView): readonly Role[] =>
  view.target.ssh === undefined ? [] : view.roles.filter(({ endpoints }) => endpoints.includes('ssh'))

async function whichRole(context: Context, roles: readonly Role[]): Promise<Role> {
  const [only] = roles
  if (only !== undefined && roles.length === 1) {
    await context.console.note(`Role: ${plain(only.name)} (${plain(only.description)})\n`)
    return only
  }
  const at = await choose(
    context.console,
    'Which role?',
    roles.map((role) => ({ label: role.name, detail: `${role.description} (approved by ${approvers(role)})` })),
  )
  return (at === undefined ? undefined : roles[at]) ?? left()
}

async function howLong(context: Context, role: Role): Promise<number> {
  const most = spanOf(role.maxMinutes * 60_000)
  for (;;) {
    const text = await askLine(context.console, `For how long? At most ${most}.`, spanOf(role.defaultMinutes * 60_000))
    if (text === undefined) return left()
    const minutes = minutesOf(text) ?? (/^\d{1,4}$/.test(text) ? Number(text) : undefined)
    if (minutes !== undefined && minutes > 0 && minutes <= role.maxMinutes) return minutes
    await context.console.note(`A span like 15m or 1h30m, ${most} at most.\n`)
  }
}

async function why(context: Context): Promise<string> {
  for (;;) {
    const text = await askLine(
      context.console,
      'Why? A ticket, or a sentence that the approver and the auditor will read:',
    )
    if (text === undefined) return left()
    if (text !== '') return text
  }
}

function left(): never {
  throw new Refusal('NO_GRANT', 'Nothing was asked for.')
}
