/** One session channel of a person: our command line, the menu, or a target. */
import { type Person, stillSignedIn } from './auth.ts'
import type { Context } from './commands/command.ts'
import { runCommand } from './commands/commands.ts'
import { denial, denialText, WRONG_USAGE } from './deny.ts'
import type { SessionChannel } from './engine/contract.ts'
import { whileSignedIn } from './lookout.ts'
import type { SshParts } from './parts.ts'
import { routeOf } from './route.ts'
import { Console } from './screen/console.ts'
import { atMenu } from './start-menu.ts'
import { type Guest, visitTarget } from './visit.ts'

/** Ends the channel in every case. */
export async function serveChannel(parts: SshParts, guest: Guest): Promise<void> {
  const { channel, person } = guest
  try {
    await stillSignedIn(person)
  } catch (failure) {
    const denied = denial(failure, parts.notes.log)
    await new Console(channel).note(denialText(denied))
    return channel.end(denied.exitCode)
  }
  const context = contextOf(parts, person, channel)
  const route = routeOf(person.named.place, channel.request)
  switch (route.to) {
    case 'menu':
      return atMenu(parts, guest, context)
    case 'command':
      return channel.end(
        await whileSignedIn(parts, { ...guest, console: context.console }, () =>
          runCommand(context, route.line, parts.notes.log),
        ),
      )
    case 'target':
      return visitTarget(parts, { ...guest, context, place: route.place, request: route.request })
    case 'nowhere':
      await context.console.note(`${route.why}\n`)
      return channel.end(WRONG_USAGE)
  }
}

function contextOf(parts: SshParts, person: Person, channel: SessionChannel): Context {
  const { engine, people, settings, notes } = parts
  return {
    desk: people.desk,
    agents: parts.agents?.book,
    kept: parts.agents?.kept,
    library: people.library,
    role: parts.road.admit.role,
    target: parts.road.admit.target,
    signIns: people.signIns,
    tokens: people.tokens,
    audit: notes.audit,
    clock: notes.clock,
    address: settings.address,
    hostKeys: { host: engine.keys.host, hostAuthority: engine.keys.hostAuthority },
    publicUrl: settings.publicUrl,
    identity: person.identity,
    console: new Console(channel),
  }
}
