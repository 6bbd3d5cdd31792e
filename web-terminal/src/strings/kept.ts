/** Words about changes of overlays that wait for a second person. */
import { many } from './many.ts'

export const kept = {
  title: 'Changes that wait',
  text: 'Made in an overlay: the host does not have them yet.',
  label: (who: string, where: string) => `Changes of ${who} on ${where}`,
  changed: 'changed',
  count: (changes: number) => many(changes, 'file', 'files'),
  on: 'on',
  session: 'Session',
  replay: 'Its recording',
  until: 'Kept until',
  size: 'Size',
  digest: 'sha256 of all that would be done',
  bytes: (bytes: number) => (bytes < 1024 ? `${bytes} B` : `${Math.ceil(bytes / 1024)} kB`),
  look: 'Look at the changes',
  apply: 'Apply exactly this',
  discard: 'Throw away',
  discardTitle: (who: string) => `Throw away what ${who} changed?`,
  discardText: 'The recording keeps the differences. The host stays as it is.',
  applied: (count: number, where: string) => `Applied on ${where}: ${many(count, 'change', 'changes')}.`,
  discarded: (who: string) => `What ${who} changed is thrown away.`,
  waits: (groups: string) => `Waits for somebody of ${groups}.`,
  silent: (agents: string) => `Not asked, because they do not answer: ${agents}.`,
  operation: (operation: string) =>
    ({ added: 'Added', changed: 'Changed', deleted: 'Deleted' })[operation] ?? operation,
}
