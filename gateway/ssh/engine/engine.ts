/** The engine half of the room: SSH connections, both ways, and the relay between them. The front half decides who may do what. */
import type { Duplex } from 'node:stream'
import type { Log } from '../../model/log.ts'
import type { Clock } from '../../model/moment.ts'
import type { Protocol, SecretRef, Target } from '../../model/target.ts'
import type { Admission } from '../../session/session.ts'
import type { JudgeOf } from '../readonly/judge.ts'
import { ensureKeys } from './authority.ts'
import { runCommand } from './command.ts'
import type { Engine } from './contract.ts'
import { errand } from './errand.ts'
import { forward } from './forward.ts'
import { type PublicKey, readKeyLine } from './keys.ts'
import { accountOf, createPool } from './pool.ts'
import { run } from './run.ts'
import { createSshServer } from './server.ts'
import { sit } from './seat.ts'
import type { FileRule } from './sftp-lane.ts'
import { loadSsh2, REVIEWED_VERSION } from './ssh2.ts'

export type * from './contract.ts'
export type { FileRule } from './sftp-lane.ts'

export type EngineParts = {
  readonly log: Log
  readonly clock: Clock
  /** Of the gateway, for the identification string. */
  readonly version: string
  /** Where the gateway's host key and its two CAs live; made at first start, mode 0600. */
  readonly keyDirectory: string
  /** Public key lines of CAs whose user certificates count as a proven key. Asked at each connection. */
  readonly userAuthorities: () => readonly string[]
  /** Names by which clients know the gateway: principals of its host certificate. */
  readonly hostNames: readonly string[]
  /** Time to sign in before the front half says anything else; 30 s when left out. */
  readonly graceMs?: number
  /** Judges each file operation of sftp and scp; left out, a full shell's role may do all. */
  readonly files?: (admission: Admission) => FileRule
  /** Judges what roles with a read-only shell do; left out, they do nothing. filters/ fits. */
  readonly judge?: JudgeOf
  /** upstreams/ fits. */
  readonly upstreams: {
    dial(admission: Admission, signal?: AbortSignal): Promise<Duplex>
    secret(ref: SecretRef): Promise<Buffer>
    /** The pinned key of an agent's own shell. */
    hostKey(target: Target): Promise<string | undefined>
    /** What an agent says about workspaces on its host. */
    workspaces(target: Target): string | undefined
    /** For questions of the gateway itself, never for a person's session. */
    reach(target: Target, protocol: Protocol, signal: AbortSignal): Promise<Duplex>
  }
}

/** Of a configuration that was read again: a line that is no key vouches for nobody, and stops nobody. */
function readable(line: string, log: Log): readonly PublicKey[] {
  try {
    return [readKeyLine(line)]
  } catch (error) {
    log({
      level: 'error',
      room: 'ssh',
      message: 'A line of user_authorities is not a public key: it is left out.',
      error,
    })
    return []
  }
}

/** Reads or makes the keys. @throws when a key file can be read by others or ssh2 is not the reviewed version. */
export function createEngine(parts: EngineParts): Engine {
  const ssh2 = loadSsh2()
  const keys = ensureKeys(parts.keyDirectory)
  let trusted = { lines: parts.userAuthorities(), keys: parts.userAuthorities().map((line) => readKeyLine(line)) }
  const authorities = (): readonly PublicKey[] => {
    const lines = parts.userAuthorities()
    if (lines !== trusted.lines) trusted = { lines, keys: lines.flatMap((line) => readable(line, parts.log)) }
    return trusted.keys
  }
  // Clients send `eow@openssh.com`, without which `| head` would hang, only to what looks like OpenSSH.
  const ident = `OpenSSH_compat-Sallyport_${parts.version}`
  const now = () => parts.clock.now()
  const { blocks, typing } = ssh2
  const pool = createPool({ ssh2, ident, authority: keys.userAuthority, now, upstreams: parts.upstreams })
  return {
    server: (onConnection) =>
      createSshServer(
        {
          log: parts.log,
          ssh2,
          keys,
          naming: { ident, hostNames: parts.hostNames },
          trust: { authorities, now, graceMs: parts.graceMs ?? 30_000 },
        },
        onConnection,
      ),
    run: (wish) => run({ pool, files: parts.files, judge: parts.judge, blocks, typing }, wish),
    command: (wish) => runCommand(pool, wish),
    sit,
    forward: (wish) => forward({ pool, blocks }, wish),
    errand: (target, name) =>
      errand({ ssh2, ident, authority: keys.userAuthority, now, upstreams: parts.upstreams }, target, name),
    account: accountOf,
    keys: {
      host: keys.host.line,
      hostAuthority: keys.hostAuthority.line,
      userAuthority: keys.userAuthority.line,
    },
    report: { ssh2: REVIEWED_VERSION, cipherAddon: ssh2.cipherAddon, postQuantum: ssh2.postQuantum },
  }
}
