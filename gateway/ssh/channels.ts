/** One session channel of a person: our command line, the menu, or a target. */
import { Refusal } from '../model/refusal.ts'
import { type Person, stillSignedIn } from './auth.ts'
import type { Context } from './commands/command.ts'
import { runCommand } from './commands/commands.ts'
import { denial, denialText, WRONG_USAGE } from './deny.ts'
import type { SessionChannel } from './engine/contract.ts'
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
      return atCommand(parts, guest, context, route.line)
    case 'target':
      return visitTarget(parts, { ...guest, context, place: route.place, request: route.request })
    case 'nowhere':
      await context.console.note(`${route.why}\n`)
      return channel.end(WRONG_USAGE)
  }
}

/** How often somebody who goes on looking is looked at, besides at each change of grants and locks. */
const LOOK_EVERY_MS = 15_000

/** Who is locked out or signed out while a command runs (`watch` can run for hours) sees no more of it. */
async function atCommand(parts: SshParts, guest: Guest, context: Context, line: string): Promise<void> {
  const { channel, person } = guest
  const look = async () => {
    try {
      await stillSignedIn(person)
    } catch (failure) {
      if (!(failure instanceof Refusal) || failure.code === 'UNAVAILABLE') return
      const denied = denial(failure, parts.notes.log)
      await context.console.note(denialText(denied))
      await channel.end(denied.exitCode)
    }
  }
  const stop = parts.people.desk.onChange(() => void look())
  const timer = setInterval(() => void look(), LOOK_EVERY_MS)
  try {
    await channel.end(await runCommand(context, line, parts.notes.log))
  } finally {
    clearInterval(timer)
    stop()
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
