/** A person at the prompt of a read-only shell. */
import { Refusal } from '../../model/refusal.ts'
import { Console } from '../screen/console.ts'
import { fit, plain, width } from '../screen/text.ts'
import { completion, escaped, namesOf, wordAt } from './completion.ts'
import type { TerminalFace } from './faces.ts'
import type { ShellJudge } from './judge.ts'
import { type Completion, LineReader, type Prompt } from './line-reader.ts'
import type { RecordedChannel } from './recorded-channel.ts'
import type { Shell } from './shell.ts'

export type PromptParts = {
  readonly channel: RecordedChannel
  readonly face: TerminalFace
  readonly shell: Shell
  readonly judge: ShellJudge
  readonly account: string
  readonly target: string
}

const INTERRUPTED = 130
const OUR_WORDS = ['help', 'logout']

/** The status to leave with. */
export async function atPrompt(parts: PromptParts): Promise<number> {
  const { channel, face, judge, shell } = parts
  const console = new Console(channel)
  const reader = new LineReader(console, (before) => complete(shell, judge, before))
  await shell.settle()
  await face.tell(`Read-only shell on ${parts.target}: \`help\` says what is allowed.\n`)
  for (;;) {
    if (!face.isAtLineStart) await face.tell('\n')
    const read = await reader.read(promptOf(parts, console.columns ?? 80))
    if (read.kind === 'left' || (read.kind === 'line' && read.text.trim() === 'logout')) return shell.status
    if (read.kind === 'interrupted') shell.status = INTERRUPTED
    else if (read.text.trim() === 'help') await face.tell(helpText(judge))
    else if (read.text.trim() !== '') {
      console.release()
      try {
        if ((await shell.run(read.text)) === 'exit') return shell.status
      } catch (failure) {
        // The target is away, perhaps not for long; whatever else is thrown ends the session.
        if (!(failure instanceof Refusal) || failure.code !== 'TARGET_UNREACHABLE') throw failure
        shell.status = 255
        await face.tell(`${failure.message}\n`)
      }
    }
  }
}

function promptOf({ account, channel, shell, target }: PromptParts, columns: number): Prompt {
  const { directory = '?', home } = shell
  const short =
    home !== undefined && `${directory}/`.startsWith(`${home}/`) ? `~${directory.slice(home.length)}` : directory
  const who = plain(`${account}@${target}`, 100)
  const room = Math.max(8, columns - width(who) - 24)
  const place =
    width(plain(short)) > room
      ? `…${Array.from(plain(short))
          .slice(1 - room)
          .join('')}`
      : plain(short)
  const text = fit(`${who}:${place} (read-only)`, Math.max(10, columns - 10))
  const type = channel.terminal?.type ?? ''
  const hasColours = type !== '' && type !== 'dumb'
  return { text: `${text}$ `, painted: hasColours ? `\u001b[36m${text}\u001b[0m$ ` : `${text}$ ` }
}

function helpText(judge: ShellJudge): string {
  return [
    `This shell only looks. Allowed: ${[...judge.programs].toSorted().join(' ')}`,
    'joined by | ; && ||, with quotes, * ? [ ] { , } in arguments, $HOME $USER $PWD $HOSTNAME $?, 2>&1 2>/dev/null >/dev/null.',
    'Options that would write or start something are refused. Programs read files and pipes, not what you type.',
    ...(judge.heldCommands.length === 0
      ? []
      : [`Waits for a second person, and then runs once: ${judge.heldCommands.join(', ')}`]),
    'Tab completes, arrows recall, Ctrl-C stops, Ctrl-D or `exit` leaves.',
    '',
  ].join('\n')
}

async function complete(shell: Shell, judge: ShellJudge, before: string): Promise<Completion | undefined> {
  const word = wordAt(before)
  if (word === undefined) return undefined
  const { text, typed } = word
  if (word.isProgram && !text.includes('/')) return completion(word, '', [...judge.programs, ...OUR_WORDS], text)
  const cut = text.lastIndexOf('/') + 1
  const folder = text.slice(0, cut)
  const isHome = folder.startsWith('~/') && typed.startsWith('~/')
  if (folder.startsWith('~') && (!isHome || shell.home === undefined)) return undefined
  const head = isHome ? `~/${escaped(folder.slice(2)) ?? ''}` : escaped(folder)
  if (head === undefined) return undefined
  const place = isHome ? `${shell.home ?? ''}/${folder.slice(2)}` : folder === '' ? '.' : folder
  const question = `ls -1apb -- ${judge.quote(place)}`
  const judged = judge.line(question, shell.directory)
  if (judged.line === undefined) return undefined
  const context = shell.directory === undefined ? {} : { directory: shell.directory }
  const { bytes } = await shell.ask(`${question} # Tab`, judged.line.text(context))
  return completion(word, head, namesOf(bytes.toString('latin1')), text.slice(cut))
}
