/** Plain `ssh alice@gateway`: requests that wait for this person, then the targets and what they hold there. Without a terminal it is a list. */
import type { Grant } from '../model/grant.ts'
import { Refusal } from '../model/refusal.ts'
import type { TargetView } from '../session/session.ts'
import { stillSignedIn } from './auth.ts'
import { type Context, typed } from './commands/command.ts'
import { runCommand } from './commands/commands.ts'
import { decide } from './commands/decide.ts'
import { heldLine } from './commands/held.ts'
import { standingHere } from './commands/listings.ts'
import { spanOf } from './commands/spans.ts'
import { BROKEN, DONE, denial, denialText } from './deny.ts'
import { whileSignedIn } from './lookout.ts'
import type { SshParts } from './parts.ts'
import { type Choice, choose } from './screen/menu.ts'
import { type Guest, visitTarget } from './visit.ts'

/** Ends the channel in every case. */
export async function atMenu(parts: SshParts, guest: Guest, context: Context): Promise<void> {
  const { channel } = guest
  const { console } = context
  if (!console.hasTerminal) {
    const code = await runCommand(context, 'targets', parts.notes.log)
    await console.note(
      `no terminal: use ${typed(context, '', ' -t')} for a menu, ${typed(context, 'help')} for all commands\n`,
    )
    return channel.end(code)
  }
  try {
    const target = await whileSignedIn(parts, { ...guest, console }, () => chosenTarget(context))
    if (channel.closed.aborted) return await channel.end(BROKEN)
    if (target === undefined) return await channel.end(DONE)
    // A menu can stand open for hours.
    await stillSignedIn(guest.person)
    return await visitTarget(parts, {
      ...guest,
      context,
      place: { target, under: undefined },
      request: { kind: 'shell' },
    })
  } catch (failure) {
    if (channel.closed.aborted) return channel.end(BROKEN)
    await console.note(denialText(denial(failure, parts.notes.log)))
    return channel.end(BROKEN)
  }
}

/** The name of a target, or undefined when the person leaves. Requests are decided on the way. */
async function chosenTarget(context: Context): Promise<string | undefined> {
  const { console, desk, identity } = context
  for (;;) {
    const requests = (await desk.requests(identity))
      .filter(({ mayApprove }) => mayApprove)
      .map(({ grant }) => grant)
      .toSorted((a, b) => a.requestedAt - b.requestedAt)
    const views = (await desk.targets(identity)).filter(({ target }) => target.ssh !== undefined)
    if (requests.length + views.length === 0) {
      await console.note(`There is nothing to decide, and no target that you may ask for. ${typed(context, 'help')}\n`)
      return undefined
    }
    const choices = [
      ...requests.map((grant) => requestChoice(grant)),
      ...views.map((view) => viewChoice(context, view)),
    ]
    const at = await choose(console, `${identity.username}, where to?`, choices)
    if (at === undefined) return undefined
    const request = requests[at]
    if (request === undefined) return views[at - requests.length]?.target.name
    await decided(context, request)
  }
}

/** That somebody was faster, or that it is not theirs to decide, leads back to the menu. */
async function decided(context: Context, request: Grant): Promise<void> {
  try {
    await decide(context, request)
  } catch (failure) {
    if (!(failure instanceof Refusal) || failure.code === 'UNAVAILABLE') throw failure
    await context.console.note(`${denialText(denial(failure, () => undefined))}\n`)
  }
}

const requestChoice = (grant: Grant): Choice => ({
  label: `request ${grant.id}`,
  detail:
    grant.held === undefined
      ? `${grant.username}: ${grant.role} on ${grant.target}, ${spanOf(grant.minutes * 60_000)}: ${grant.reason}`
      : `${grant.username}, once on ${grant.target}: ${heldLine(grant.held)}`,
})

const viewChoice = (context: Context, { target, grants }: TargetView): Choice => ({
  label: target.name,
  detail: grants.map((grant) => standingHere(context, grant)).join(', ') || target.description || 'no grant yet',
})
