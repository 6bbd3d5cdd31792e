/** What one HTTP/2 connection may do: how many requests at once, how often it may take them back or ring, how long it may be silent. */
import { constants, type SecureServerOptions, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'

const MOST_STREAMS = 100
/** Between the browser and us; each stream's body waits for its own reader. */
const WINDOW_BYTES = 256 * 1024
const HEADER_BYTES = 16 * 1024
/** With pseudo-headers. */
const MOST_FIELDS = 128
/** A browser that leaves a page takes back at most what is under way, and rings rarely; an attacker does it thousands of times a second. */
const PATIENCE = { most: 400, perSecond: 40 }

/** For the server; what nghttp2 counts by itself. */
export const HTTP2_LIMITS = {
  settings: {
    maxConcurrentStreams: MOST_STREAMS,
    initialWindowSize: WINDOW_BYTES,
    maxHeaderListSize: HEADER_BYTES,
    enablePush: false,
  },
  maxHeaderListPairs: MOST_FIELDS,
  maxSessionRejectedStreams: MOST_STREAMS,
  maxSessionInvalidFrames: MOST_STREAMS,
  maxSettings: 16,
  streamResetBurst: PATIENCE.most,
  streamResetRate: PATIENCE.perSecond,
  // Applications say some headers twice that the standard has once; browsers know what to do.
  strictSingleValueFields: false,
} as const satisfies SecureServerOptions

/**
 * `firstMs`: until the first request begins; `idleMs`: without any request. Bytes alone keep no connection open.
 * Ends politely (GOAWAY) where a browser is only quiet, at once where patience is used up.
 */
export function watchSession(
  session: ServerHttp2Session,
  how: { readonly firstMs: number; readonly idleMs: number },
): void {
  let streams = 0
  let patience: number = PATIENCE.most
  let countedAt = performance.now()
  let quiet = setTimeout(() => session.destroy(), how.firstMs)
  const tire = () => {
    const now = performance.now()
    patience = Math.min(PATIENCE.most, patience + ((now - countedAt) / 1000) * PATIENCE.perSecond) - 1
    countedAt = now
    if (patience < 0) session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }
  const leave = () => {
    session.close()
    // Whoever does not take the hint, or does not read it.
    quiet = setTimeout(() => session.destroy(), how.firstMs)
  }
  session.on('stream', (stream: ServerHttp2Stream) => {
    streams += 1
    clearTimeout(quiet)
    // Taken back by the browser, or provoked: what we begin for nothing.
    stream.once('aborted', tire)
    // An answer that nobody takes would keep its connection for ever.
    stream.setTimeout(how.idleMs, () => {
      if (stream.writableEnded) stream.destroy()
    })
    stream.once('close', () => {
      streams -= 1
      if (streams === 0 && !session.closed && !session.destroyed) quiet = setTimeout(leave, how.idleMs)
    })
  })
  session.on('ping', tire)
  session.on('remoteSettings', tire)
  session.on('error', () => session.destroy())
  session.once('close', () => clearTimeout(quiet))
}
