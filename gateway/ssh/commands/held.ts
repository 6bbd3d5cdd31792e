/** A statement that waits for a second person, as they read it on a terminal: nothing in it acts, nothing of it is left out. */
import type { Grant } from '../../model/grant.ts'
import type { HeldStatement } from '../../model/hold.ts'
import { plain } from '../screen/text.ts'

/** A text of several lines, each of them plain and a little to the right. */
const block = (text: string): string =>
  text
    .split('\n')
    .map((line) => `    ${plain(line, Number.POSITIVE_INFINITY)}\n`)
    .join('')

export function heldText({ id, username, role, target, reason }: Grant, held: HeldStatement): string {
  const where = held.kind === 'sql' ? `database ${held.place} of ${target}` : target
  const facts = [
    `Request ${id}: ${username} asks a second person to let this run once on ${where}`,
    `(role ${role}, grant ${held.under}: ${reason})`,
  ]
  return [
    ...facts.map((line) => `${plain(line)}\n`),
    block(held.text),
    ...parameterLines(held),
    ...(held.kind === 'command' && held.place !== '' ? [`  in ${plain(held.place)}\n`] : []),
    ...(held.normalised === undefined ? [] : [`  without comments:\n${block(held.normalised)}`]),
    ...((held.tables ?? []).length === 0 ? [] : [`  tables: ${plain((held.tables ?? []).join(', '))}\n`]),
    ...(held.plan === undefined ? [] : [`  plan:\n${block(held.plan)}`]),
    ...(held.estimatedRows === undefined ? [] : [`  rows, as the target estimates: ${held.estimatedRows}\n`]),
    held.mostRows === undefined
      ? held.kind === 'sql'
        ? '  rows cannot be counted: no limit holds here\n'
        : ''
      : `  rolled back when it touches more than ${held.mostRows} rows\n`,
    `  sha256 ${held.digest}\n`,
  ].join('')
}

function parameterLines({ kind, parameters, text }: HeldStatement): readonly string[] {
  if (parameters !== undefined)
    return parameters.map(
      (value, at) => `  $${at + 1} = ${value === null ? 'null' : `'${plain(value, Number.POSITIVE_INFINITY)}'`}\n`,
    )
  return kind === 'sql' && /\$\d/.test(text) ? ['  the role does not let parameter values be seen\n'] : []
}

/** In one line of a list. */
export const heldLine = (held: HeldStatement): string => held.normalised ?? held.text
