/** Our client side: one SSH connection to a target whose host key was checked, and channels on it. */
/* oxlint-disable no-underscore-dangle -- the inside of ssh2 is named so */
import type { Duplex } from 'node:stream'
import { Refusal } from '../../model/refusal.ts'
import { clientOffer } from './algorithms.ts'
import type { Channel, ChannelEvents } from './channel.ts'
import { Channels, PROHIBITED } from './channels.ts'
import type { Trust } from './host-trust.ts'
import { type Credential, Login } from './login.ts'
import type { Ssh2 } from './ssh2.ts'
import { Transport } from './transport.ts'

const CONNECT_MS = 15_000

export type UpstreamParts = {
  readonly ssh2: Ssh2
  readonly ident: string
  readonly stream: Duplex
  readonly login: {
    readonly account: string
    readonly credential: Credential
    readonly trust: Trust
    readonly target: string
  }
  readonly signal: AbortSignal
  readonly hasWorkspace?: boolean
}

export type Upstream = {
  /** @throws {Refusal} TARGET_UNREACHABLE */
  open(type: 'session' | 'direct-tcpip', events: ChannelEvents, ...body: readonly Uint8Array[]): Promise<Channel>
  /** It is an agent of ours, which runs exact words without a shell. */
  readonly runsWords: boolean
  /** What runs there ends with its workspace: nothing has to be swept. */
  readonly hasWorkspace: boolean
  readonly channels: number
  readonly closed: AbortSignal
  close(): void
  destroy(): void
}

/** @throws {Refusal} TARGET_UNREACHABLE with a sentence that names what went wrong; or the signal's reason. */
export function connectUpstream(parts: UpstreamParts): Promise<Upstream> {
  const { login, signal, ssh2, stream } = parts
  const { target, trust } = login
  const gone = new AbortController()
  const unreachable = (why: string, cause?: unknown) =>
    new Refusal('TARGET_UNREACHABLE', `${target} cannot be reached: ${why}`, { cause })
  return new Promise((resolve, reject) => {
    let distrust: string | undefined
    let accepted: { readonly blob: Buffer; readonly plainType: string } | undefined
    let isDone = false
    const settle = (failure: unknown) => {
      if (isDone) return
      isDone = true
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      if (failure === undefined) {
        transport.keepAlive()
        resolve(upstream)
        return
      }
      transport.destroy()
      reject(failure instanceof Error ? failure : unreachable('the connection failed.'))
    }
    const abort = () => settle(signal.reason instanceof Refusal ? signal.reason : unreachable('the session ended.'))
    const timer = setTimeout(() => settle(unreachable('its SSH server did not answer in time.')), CONNECT_MS)
    const transport: Transport = new Transport({
      ssh2,
      stream,
      ident: parts.ident,
      offer: clientOffer(trust),
      role: {
        kind: 'client',
        verifyHost: (blob, own) => {
          // New keys are agreed with the same host or with nobody; its certificate need not outlive the connection.
          const verdict = accepted?.blob.equals(blob)
            ? ({ trusted: true, plainType: accepted.plainType } as const)
            : accepted === undefined
              ? trust.judge(blob)
              : ({ trusted: false, why: 'Its host key changed.' } as const)
          if (!verdict.trusted) {
            distrust = verdict.why
            return false
          }
          accepted ??= { blob: Buffer.from(blob), plainType: verdict.plainType }
          const kex = own.protocol._kex
          // The host signs with the plain key also when it shows a certificate.
          if (kex !== undefined && kex.negotiated.serverHostKey.endsWith('-cert-v01@openssh.com'))
            kex.negotiated = { ...kex.negotiated, serverHostKey: verdict.plainType }
          return true
        },
      },
      onReady: () => loginNow.begin(),
      onMessage: (payload) => {
        if ((payload[0] ?? 0) >= 80) channels.receive(payload)
        else loginNow.receive(payload)
      },
      onDrain: () => channels.pump(),
      onClose: (cause) => {
        gone.abort(new Error('The connection to the target is gone.'))
        channels.lose()
        settle(unreachable(distrust ?? (cause === undefined ? 'it closed the connection.' : sentence(cause)), cause))
      },
    })
    const loginNow = new Login({
      transport,
      account: login.account,
      credential: login.credential,
      done: (failure) => settle(failure === undefined ? undefined : unreachable(failure.message, failure)),
    })
    const channels: Channels = new Channels({
      transport,
      onOpen: (request) => request.refuse(PROHIBITED, 'Nothing is opened towards clients.'),
      most: 100,
    })
    const upstream: Upstream = {
      open: (type, events, ...body) =>
        channels.open(type, events, ...body).catch((failure: unknown) => {
          throw unreachable(failure instanceof Error ? failure.message : 'it opened no channel.', failure)
        }),
      hasWorkspace: parts.hasWorkspace === true,
      get runsWords() {
        return transport.remoteVersion.includes('-Sallyport_agent')
      },
      get channels() {
        return channels.size
      },
      closed: gone.signal,
      close: () => transport.disconnect(11, 'Done.'),
      destroy: () => transport.destroy(),
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

const sentence = (cause: Error): string => {
  const text = cause.message.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
  return text.endsWith('.') ? text : `${text}.`
}
