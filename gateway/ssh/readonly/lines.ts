/** Lines of a client without a terminal. */
import type { RecordedChannel } from './recorded-channel.ts'

/** Beyond it the rest of a line is left out; the judge refuses what is that long. */
const MOST = 64 * 1024

/** Without their ends; the last one may have none. */
export async function* linesOf(channel: RecordedChannel): AsyncGenerator<string> {
  let kept: Buffer = Buffer.alloc(0)
  for (;;) {
    const more = await channel.read()
    if (more === undefined) break
    let start = 0
    for (let end = more.indexOf(0x0a); end !== -1; end = more.indexOf(0x0a, start)) {
      yield textOf(Buffer.concat([kept, more.subarray(start, end)]))
      kept = Buffer.alloc(0)
      start = end + 1
    }
    if (kept.length < MOST) kept = Buffer.concat([kept, more.subarray(start)])
  }
  if (kept.length > 0) yield textOf(kept)
}

const textOf = (bytes: Buffer): string => bytes.toString().replace(/\r$/, '')
