/** What a relay needs of the client's side: an SSH channel has it, and a browser's shell brings its own. */
import type { Channel } from './channel.ts'

export type ClientLeg = Pick<
  Channel,
  'isOpen' | 'receivedEof' | 'send' | 'after' | 'drop' | 'credit' | 'eof' | 'close' | 'closeNow' | 'abandon' | 'tell'
>
