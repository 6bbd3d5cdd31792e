/** What the front half of the room sees of SSH connections: verified proofs, channels, terminals. No word of the library behind it. */
import type { Duplex } from 'node:stream'
import type { Target } from '../../model/target.ts'
import type { Admission, Session } from '../../session/session.ts'
import type { GrantedCommand } from '../command-grants.ts'
import type { ClientLeg } from './client-leg.ts'

/** Where a connection came from. IP address without port. */
export type Origin = { readonly address: string; readonly port: number }

/** The inner connection of `ssh -J gateway target`: who opened it, and for which target name. */
export type Jump = { readonly outer: Connection; readonly target: string }

/** A key that the client holds: its signature over this very connection was verified. */
export type ProvenKey = {
  /** `SHA256:…` of the plain key, also when a certificate was shown. */
  readonly fingerprint: string
  /** `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`… */
  readonly type: string
  /** The plain public key as OpenSSH writes it, without comment. */
  readonly line: string
  /** Present when the key came in a certificate of a trusted user CA; signature, validity, principal and source address hold. */
  readonly certificate: UserCertificate | undefined
}

export type UserCertificate = {
  readonly keyId: string
  readonly serial: bigint
  readonly principals: readonly string[]
  /** Milliseconds since the epoch. */
  readonly validBefore: number
  /** `SHA256:…` of the CA. */
  readonly authority: string
}

export type Method = 'publickey' | 'keyboard-interactive'

export type Prompt = { readonly prompt: string; readonly echo: boolean }

/** One try to sign in. A public key is only ever seen here after its signature held. `username` is what stands before the @, unsplit. */
export type Attempt =
  | { readonly method: 'none'; readonly username: string }
  | { readonly method: 'publickey'; readonly username: string; readonly key: ProvenKey }
  | {
      readonly method: 'keyboard-interactive'
      readonly username: string
      /** Shows title, text and prompts; no prompts: shown at once and answered by the client itself. Rejects when the client gives up. */
      readonly ask: (title: string, text: string, prompts: readonly Prompt[]) => Promise<readonly string[]>
    }

/** `accept` of a `none` attempt is taken only for an inner connection ({@link Connection.jump}); anywhere else it is a refusal. */
export type Decision =
  | { readonly accept: true }
  | { readonly accept: false; readonly methods: readonly Method[]; readonly partial?: boolean }

/** `signal` aborts when the client leaves or starts another attempt. A handler that throws refuses. */
export type Authenticate = (attempt: Attempt, signal: AbortSignal) => Promise<Decision>

/** One client connection. Everything is torn down when it closes. */
export type Connection = {
  readonly id: string
  readonly origin: Origin
  /** The client's identification without `SSH-2.0-`, printable ASCII only. */
  readonly clientVersion: string
  readonly jump: Jump | undefined
  /** The user name of the accepted attempt; empty before. */
  readonly username: string
  /** Aborts when the connection is gone. */
  readonly closed: AbortSignal
  onAuthentication(handler: Authenticate): void
  /** Once, right after success was sent. */
  onReady(listener: () => void): void
  /** A session channel whose shell, command or sftp was asked for; already confirmed to the client. */
  onSession(listener: (channel: SessionChannel) => void): void
  /** Without a listener every -L is refused. */
  onDirectTcpip(listener: (request: TcpipRequest) => void): void
  /** -R: what it would offer, by name and port. Without a listener every -R is refused. */
  onForwardIn(listener: (name: string, port: number) => boolean): void
  /** A stream to what the client offered (RFC 4254 §7.2, forwarded-tcpip). Rejects when the client refuses. */
  openForwarded(name: string, port: number): Promise<Duplex>
  /** Text above the prompt while signing in; nothing after success. Lines end in `\n`. */
  sendBanner(text: string): void
  /** Tells a waiting client that we live. */
  sendIgnore(): void
  /** Time to sign in starts anew: `ms` from now. Called while an approval is pending. */
  extendGrace(ms: number): void
  /** Ends the connection at once with SSH_MSG_DISCONNECT and that text. */
  disconnect(reason: string): void
}

export type Terminal = {
  readonly type: string
  readonly columns: number
  readonly rows: number
  readonly widthPixels: number
  readonly heightPixels: number
  /** Encoded terminal modes (RFC 4254 §8), as the client sent them. */
  readonly modes: Uint8Array
}

export type SessionRequest =
  | { readonly kind: 'shell' }
  | { readonly kind: 'exec'; readonly command: string }
  | { readonly kind: 'sftp' }

/** A session channel before it is handed to {@link Engine.run}: the command line and menus speak through it. */
export type SessionChannel = {
  readonly request: SessionRequest
  /** As it is now; undefined without a pty. */
  readonly terminal: Terminal | undefined
  /** Only names of the allow-list (LANG, LC_*, TERM, COLORTERM). */
  readonly environment: ReadonlyMap<string, string>
  /** Aborts when the client closed the channel or the connection is gone. */
  readonly closed: AbortSignal
  /** The next input; undefined at its end. What is not read stays for {@link Engine.run}. Rejects with the signal's reason. */
  read(signal?: AbortSignal): Promise<Buffer | undefined>
  /** Puts input back in front: what a menu read too much. */
  unread(bytes: Buffer): void
  /** Resolves when the client's window took it. With a pty write `\r\n` yourself. Resolves early when the channel is gone. */
  write(data: string | Uint8Array): Promise<void>
  writeError(data: string | Uint8Array): Promise<void>
  onResize(listener: (terminal: Terminal) => void): () => void
  /** `INT`, `TERM`… */
  onSignal(listener: (name: string) => void): () => void
  /** Exit status, end of output, close. Call once when not handed to {@link Engine.run}. */
  end(exitCode: number): Promise<void>
}

/** What a client that speaks no SSH wants from the start. */
export type Seated = {
  readonly request: SessionRequest
  readonly terminal: Terminal | undefined
  readonly environment: Readonly<Record<string, string>>
}

/** The way in for a client that speaks no SSH. */
export type Seat = {
  readonly channel: SessionChannel
  input(bytes: Buffer): void
  /** It has gone for good. */
  leave(): void
  resize(columns: number, rows: number): void
  signal(name: string): void
}

/** A request of -L or -J/-W. Only the first answer counts. */
export type TcpipRequest = {
  readonly host: string
  readonly port: number
  readonly originHost: string
  readonly originPort: number
  /** The client shows the text. */
  refuse(text: string): void
  /** Serves the client's inner SSH on this channel ourselves, as `target`; a new {@link Connection} with `jump` set appears. */
  jump(target: string): void
}

export type Outcome = {
  readonly cause: 'closed' | 'exited' | 'cut' | 'failed'
  /** The sentence that the person was shown when the session was cut; else empty. */
  readonly detail: string
  readonly exitCode: number | undefined
}

/** Whoever is at the other end of a channel, whatever brought it here. */
export type Client = Pick<Connection, 'origin' | 'clientVersion' | 'closed'>

export type Run = {
  readonly connection: Client
  readonly channel: SessionChannel
  readonly session: Session
  /** What to open at the target, when it is not what the channel asked for: `ssh gateway prod-db` arrives as the command `prod-db` and means a shell. */
  readonly request?: SessionRequest
}

/** One command that the role names; nothing else of the channel's request counts. */
export type CommandRun = Pick<Run, 'connection' | 'channel' | 'session'> & { readonly command: GrantedCommand }

export type Forward = { readonly connection: Connection; readonly request: TcpipRequest; readonly session: Session }

export type SshServer = {
  /** Resolves with the port once it listens. `reusePort`: several workers share it. */
  listen(where: { readonly host: string; readonly port: number; readonly reusePort?: boolean }): Promise<number>
  /** Serves an already connected stream as if it had just been accepted. */
  serve(stream: Duplex, origin: Origin): void
  /** Stops listening. Live connections stay; end them with {@link Connection.disconnect}. */
  close(): Promise<void>
}

export type Engine = {
  server(onConnection: (connection: Connection) => void): SshServer
  /**
   * Connects to the target of the session (once per connection, target and account), opens the same kind of channel there and relays
   * everything over the session's road until one side is done or the session ends; then both legs are closed and the exit status is sent.
   * The caller opens the session before and closes it afterwards with the outcome.
   *
   * @throws {Refusal} TARGET_UNREACHABLE before anything was relayed; the channel is still open, so say it and `end(255)`.
   */
  run(run: Run): Promise<Outcome>
  /** The same for a granted command, whatever shell the role has: no input, limits of time and output. @throws {Refusal} as {@link run}. */
  command(run: CommandRun): Promise<Outcome>
  /** A session channel whose client is a browser: `leg` is its way out, what is returned its way in. {@link run} takes the channel like all others. */
  sit(leg: ClientLeg, start: Seated): Seat
  /** The same for -L. Judges `role.ssh.forward` itself and records the verdict. Refuses the request when it throws. @throws {Refusal} */
  forward(forward: Forward): Promise<Outcome>
  /** Asks the agent in front of a target about a workspace that is over; never for a program. Its answer is unchecked JSON. @throws {Refusal} */
  errand(target: Target, name: string): Promise<string>
  /** The login on the target that {@link run} will use. @throws {Refusal} NOT_ALLOWED when neither role nor endpoint names one. */
  account(admission: Admission): string
  /** Public key lines: what clients pin, what clients trust for `ssh -J` (`@cert-authority * …`), what targets trust for logins. */
  readonly keys: { readonly host: string; readonly hostAuthority: string; readonly userAuthority: string }
  /** What runs underneath, for the log at start. */
  readonly report: { readonly ssh2: string; readonly cipherAddon: boolean; readonly postQuantum: boolean }
}
