/** What a read-only shell shows a person through. */
import type { Stream } from '../engine/channel.ts'
import type { Terminal } from '../engine/contract.ts'
import type { Running } from './running.ts'

/** Where words go, and who may type into what runs. */
export type Face = {
  /** `isRaw`: as a terminal wrote it. */
  show(bytes: Buffer, stream: Stream, isRaw?: boolean): Promise<void>
  /** A sentence of ours. */
  tell(text: string): Promise<void>
  /** What a program gets that is worth a terminal. */
  readonly terminal: Terminal | undefined
  /** Once for each program that runs; resolves when it is over. */
  attend(running: Running): Promise<number>
  /** While nothing runs: resolves when the person wants no more of it, or has left. */
  interrupted(over: AbortSignal): Promise<void>
}
