/** Deciding a request on a terminal: what is asked for, and a yes, a shorter time, or a no with a reason. */
import type { Grant } from '../../model/grant.ts'
import { askLine } from '../screen/prompt.ts'
import { plain } from '../screen/text.ts'
import type { Context } from './command.ts'
import { heldText } from './held.ts'
import { whyOf } from './listings.ts'
import { minutesOf, spanOf } from './spans.ts'
import { saidOf } from './waiting.ts'

/** @throws {Refusal} what the desk says, for example that somebody was faster. */
export async function decide(context: Context, request: Grant): Promise<void> {
  const { console, desk, identity, clock } = context
  const lines = [
    `Request ${request.id}: ${request.username} asks for ${request.role} on ${request.target} for ${spanOf(request.minutes * 60_000)},`,
    `${spanOf(clock.now() - request.requestedAt)} ago: ${whyOf(request)}`,
  ]
  const { held } = request
  await console.note(
    `\n${held === undefined ? lines.map((line) => `${plain(line)}\n`).join('') : heldText(request, held)}`,
  )
  const isCuttable = held === undefined && request.extends === undefined
  const less = held === undefined ? ` a shorter time like 10m,${isCuttable ? ' look (for looking only),' : ''}` : ''
  for (;;) {
    const answer = (await askLine(console, `Allow it? yes,${less} no, or Enter to leave it:`))?.toLowerCase()
    if (answer === undefined || answer === '') return
    const minutes = held === undefined ? minutesOf(answer) : undefined
    if (minutes !== undefined || answer === 'y' || answer === 'yes')
      return said(context, await desk.approve(identity, request.id, { minutes }))
    if (isCuttable && answer === 'look')
      return said(context, await desk.approve(identity, request.id, { readOnly: true }))
    if (answer === 'n' || answer === 'no') {
      const why = await askLine(console, 'Why not? The person will read it:')
      if (why === undefined || why === '') return
      return said(context, await desk.deny(identity, request.id, why))
    }
  }
}

async function said(context: Context, grant: Grant): Promise<void> {
  await context.console.note(`${plain((await saidOf(context, grant)).trimEnd())}\n\n`)
}
