/** A worker process for tests: records until it is killed, and prints `session seq` after each event that is written. */
import { writeSync } from 'node:fs'
import { sessionStart, terminal, journalAt } from './parts.ts'

const [dir = '', mode = ''] = process.argv.slice(2)
const journal = journalAt(dir)
const start = sessionStart(mode === 'typing' ? { terminal } : {})
const recording = journal.open(start)
let seq = 0
const next = (): void => {
  if (mode === 'typing') {
    recording.take('o', 'Password: ')
    recording.take('i', 'hunter2')
    recording.take('i', '\r')
    recording.take('o', '\r\n')
    recording.take('i', 'uname')
    recording.written(() => writeSync(1, `${start.id} 0\n`))
    return
  }
  const count = 1 + (seq % 7)
  for (let i = 0; i < count; i++) recording.take('o', `event ${++seq} \u0000é`)
  const upTo = seq
  recording.written((failure) => {
    if (failure === undefined) writeSync(1, `${start.id} ${upTo}\n`)
    if (upTo % 50 === 0) setTimeout(next, 1)
    else next()
  })
}
next()
setInterval(() => undefined, 1_000)
