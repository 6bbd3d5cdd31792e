/** Looks again and again at whoever reads lists and menus of ours: who is locked out or signed out meanwhile sees no more of it. */
import { Refusal } from '../model/refusal.ts'
import { type Person, stillSignedIn } from './auth.ts'
import { denial, denialText } from './deny.ts'
import type { SshParts } from './parts.ts'
import type { Console } from './screen/console.ts'
import type { SessionChannel } from './engine/contract.ts'

/** How often, besides at each change of grants and locks. */
const LOOK_EVERY_MS = 15_000

type Looker = { readonly channel: SessionChannel; readonly person: Person; readonly console: Console }

/** Ends the channel with a sentence when they may not be here any more; `work` then finds it closed. */
export async function whileSignedIn<T>(
  parts: Pick<SshParts, 'people' | 'notes'>,
  { channel, console, person }: Looker,
  work: () => Promise<T>,
): Promise<T> {
  let over = false
  const look = async () => {
    try {
      await stillSignedIn(person)
    } catch (failure) {
      if (!(failure instanceof Refusal) || failure.code === 'UNAVAILABLE' || over) return
      const denied = denial(failure, parts.notes.log)
      await console.note(denialText(denied))
      await channel.end(denied.exitCode)
    }
  }
  const stop = parts.people.desk.onChange(() => void look())
  const timer = setInterval(() => void look(), LOOK_EVERY_MS)
  try {
    return await work()
  } finally {
    over = true
    clearInterval(timer)
    stop()
  }
}
