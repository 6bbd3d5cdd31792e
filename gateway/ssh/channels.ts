/** One session channel of a person: our command line, the menu, or a target. */
import { type Person, stillSignedIn } from './auth.ts'
import { type Context, typed } from './commands/command.ts'
import { runCommand } from './commands/commands.ts'
import { standing } from './commands/listings.ts'
import { BROKEN, DONE, denial, denialText, REFUSED, WRONG_USAGE } from './deny.ts'
import type { Connection, SessionChannel } from './engine/contract.ts'
import type { SshParts } from './parts.ts'
import { routeOf } from './route.ts'
import { Console } from './screen/console.ts'
import { choose } from './screen/menu.ts'
import { visitTarget } from './target-session.ts'

type Guest = {
  readonly connection: Connection
  readonly channel: SessionChannel
  readonly person: Person
  readonly closing: AbortSignal
}

/** Ends the channel in every case. */
export async function serveChannel(parts: SshParts, guest: Guest): Promise<void> {
  const { connection, channel, person } = guest
  try {
    await stillSignedIn(parts.people.signIns, person)
  } catch (failure) {
    await new Console(channel).note(denialText(denial(failure, parts.notes.log)))
    return channel.end(REFUSED)
  }
  const context = contextOf(parts, person, channel)
  const route = routeOf(connection.jump?.target ?? person.named.target, channel.request)
  switch (route.to) {
    case 'menu':
      return menu(parts, guest, context)
    case 'command':
      return channel.end(await runCommand(context, route.line, parts.notes.log))
    case 'target':
      return visitTarget(parts, { ...guest, context, target: route.target, request: route.request })
    case 'nowhere':
      await context.console.note(`${route.why}\n`)
      return channel.end(WRONG_USAGE)
  }
}

function contextOf(parts: SshParts, person: Person, channel: SessionChannel): Context {
  const { engine, people, settings, notes } = parts
  return {
    desk: people.desk,
    library: people.library,
    signIns: people.signIns,
    audit: notes.audit,
    clock: notes.clock,
    address: settings.address,
    hostKeys: { host: engine.keys.host, hostAuthority: engine.keys.hostAuthority },
    publicUrl: settings.publicUrl,
    identity: person.identity,
    console: new Console(channel),
  }
}

/** Plain `ssh alice@gateway`: the targets and what one holds there. Without a terminal it is a list. */
async function menu(parts: SshParts, guest: Guest, context: Context): Promise<void> {
  const { channel } = guest
  const { console, desk, identity } = context
  if (!console.hasTerminal) {
    const code = await runCommand(context, 'targets', parts.notes.log)
    await console.note(
      `no terminal: use ${typed(context, '', ' -t')} for a menu, ${typed(context, 'help')} for all commands\n`,
    )
    return channel.end(code)
  }
  try {
    const views = (await desk.targets(identity)).filter(({ target }) => target.ssh !== undefined)
    const waiting = (await desk.requests(identity)).filter(({ mayApprove }) => mayApprove).length
    if (waiting > 0) await console.note(`Requests that wait for you: ${waiting}. ${typed(context, 'requests')}\n\n`)
    if (views.length === 0) {
      await console.note(`There is no target that you may ask for. ${typed(context, 'help')}\n`)
      return channel.end(DONE)
    }
    const at = await choose(
      console,
      `${identity.username}, where to?`,
      views.map(({ target, grants }) => ({
        label: target.name,
        detail: grants.map((grant) => standing(context, grant)).join(', ') || target.description || 'no grant yet',
      })),
    )
    const view = at === undefined ? undefined : views[at]
    if (view === undefined) return await channel.end(DONE)
    return await visitTarget(parts, { ...guest, context, target: view.target.name, request: { kind: 'shell' } })
  } catch (failure) {
    if (channel.closed.aborted) return channel.end(BROKEN)
    await console.note(denialText(denial(failure, parts.notes.log)))
    return channel.end(BROKEN)
  }
}
