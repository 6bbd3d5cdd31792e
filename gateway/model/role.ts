/** Roles: scopes that were defined beforehand. A grant is always one role on one target for one stretch of time. */
import type { AlertRule } from './alert.ts'
import type { MaskRule } from './mask.ts'
import type { HoldScope } from './hold.ts'
import type { Protocol, Target } from './target.ts'

/** Who says yes. `auto`: the rule itself; `people`: `count` different members of `groups`, never the requester. */
export type ApprovalRule =
  | { readonly kind: 'auto' }
  | { readonly kind: 'people'; readonly count: number; readonly groups: readonly string[] }

/** What a parameter of a granted command may be. `name`: letters, digits, dot, hyphen, underscore; never an option, never a path. */
export type CommandParameter = {
  readonly name: string
  readonly type:
    | { readonly kind: 'int'; readonly least: number; readonly most: number }
    | { readonly kind: 'enum'; readonly values: readonly string[] }
    | { readonly kind: 'name' }
  /** Undefined: it must be given. */
  readonly fallback: string | undefined
}

/** One exact command. It is run without a shell where that is possible; no value can become a second word. */
export type CommandGrant = {
  readonly name: string
  readonly description: string
  /** As the operator wrote it, for people. */
  readonly template: string
  /** One entry per word of the command; pieces of text and of parameters. The first word has no parameter. */
  readonly argv: readonly (readonly ({ readonly text: string } | { readonly parameter: string })[])[]
  readonly parameters: readonly CommandParameter[]
  readonly timeoutMs: number
  readonly maxBytes: number
}

/** A program with all that is known to be harmless about it, or with these flags and sub-commands of it only. */
export type CommandList = readonly (string | Readonly<Record<string, readonly string[]>>)[]

/** What a read-only shell has to offer; sftp, scp and rsync go by `files`. Deny wins. */
export type ReadOnlyScope = {
  /** Undefined: the whole preset `unix-read-only`. */
  readonly commands: CommandList | undefined
  readonly deny: CommandList
  /** Globs over absolute paths: `**` any depth, `*` and `?` within one name. */
  readonly files: {
    readonly read: readonly string[]
    readonly write: readonly string[]
    readonly deny: readonly string[]
  }
}

/** Where a role says nothing: every command of the preset, every file the account can read, none to write. */
export const READ_ONLY_DEFAULTS: ReadOnlyScope = {
  commands: undefined,
  deny: [],
  files: { read: ['/**'], write: [], deny: [] },
}

/** Where a role's programs run on a host with an agent: in namespaces of their own, where the kernel keeps the promise. */
export type WorkspaceScope = {
  /** `overlay`: writes land in a layer, whose changes are recorded at the end. */
  readonly mode: 'read-only' | 'overlay'
  readonly network: 'none' | 'host'
  /** It came with a read-only shell and nobody asked for it: targets without an agent are opened without. */
  readonly isImplied: boolean
  readonly memoryMegabytes: number
  readonly tasks: number
  readonly cpus: number
  readonly changesMegabytes: number
  /** Changes of an overlay stay on their host for a second person of these groups. Undefined: they are thrown away. */
  readonly keep?: { readonly minutes: number; readonly approvers: readonly string[] } | undefined
}

export type SshScope = {
  /** `full`: a recorded, unfiltered shell. `read-only`: the gateway's own reader and judge. `none`: no shell and no commands. */
  readonly shell: 'full' | 'read-only' | 'none'
  /** Undefined: the defaults of a read-only shell. Nothing for other shells. */
  readonly readOnly?: ReadOnlyScope | undefined
  /** Undefined: on the host as it is. */
  readonly workspace?: WorkspaceScope | undefined
  /** `host:port` patterns that -L may reach from the target; empty: no forwarding. */
  readonly forward: readonly string[]
  /** Commands that may be run whatever {@link shell} says. */
  readonly commands?: readonly CommandGrant[] | undefined
  /** Lines of a full shell that raise an alarm. */
  readonly alerts?: readonly AlertRule[] | undefined
}

export type PostgresScope = {
  readonly mode: 'read-only' | 'read-write'
  /** Databases that may be named; empty: only the endpoint's own. */
  readonly databases: readonly string[]
  /** Schemas that may be read or written; empty: all that the template role can. */
  readonly schemas: readonly string[]
  /** Role on the target that a provisioned role is a member of. */
  readonly template: string | undefined
  /** Functions of the target that are known to be harmless under read-only, `schema.name`. */
  readonly allowFunctions: readonly string[]
  readonly denyFunctions: readonly string[]
  readonly statementTimeoutMs: number
  /** Whether parameter values of statements are recorded. */
  readonly recordParameters: boolean
  /** Rows of one result that a person may take from the console as a file; 0 or undefined: none. */
  readonly downloadRows?: number | undefined
  /** Rows of each result that are kept in the recording; 0: none. */
  readonly sampleRows: number
  /** `rollback`: all of a session runs in one transaction that is rolled back at its end. */
  readonly workspace?: 'rollback' | undefined
  /** Columns whose values are not shown; under read-only only. */
  readonly mask?: readonly MaskRule[] | undefined
}

export type HttpScope = {
  /** `read-only`: GET, HEAD and OPTIONS without a body. */
  readonly mode: 'read-only' | 'read-write'
  /** Methods that may be used; empty: all that the mode has. */
  readonly methods: readonly string[]
  /** Paths that may be asked for; empty: all. `*` is any part of a segment, `**` anything. */
  readonly paths: readonly string[]
  /** Paths that may not, whatever {@link paths} says. */
  readonly denyPaths: readonly string[]
  readonly websocket: boolean
  readonly maxRequestBytes: number
  readonly record: {
    readonly query: 'full' | 'names' | 'none'
    /** How much of each body is kept; 0: nothing. */
    readonly bodyBytes: number
    /** Whether WebSocket messages are kept, not only counted. */
    readonly frames: boolean
  }
}

export type Role = {
  readonly name: string
  readonly description: string
  /** Each label must be equal; empty: no target at all (a role without scope opens nothing). `names` adds targets by name. */
  readonly targets: { readonly labels: Readonly<Record<string, string>>; readonly names: readonly string[] }
  readonly endpoints: readonly Protocol[]
  /** Groups whose members may ask for the role. */
  readonly requesters: readonly string[]
  readonly approval: ApprovalRule
  readonly defaultMinutes: number
  readonly maxMinutes: number
  /** How old the second factor may be when a session opens. */
  readonly mfaWithinMinutes: number
  /** What is asked for each session, on top of the sign-in. */
  readonly stepUp?: 'passkey' | undefined
  /** The login on the target; undefined: the endpoint's own. */
  readonly account: string | undefined
  readonly ssh: SshScope
  readonly postgres: PostgresScope
  /** Undefined: no web application. */
  readonly http?: HttpScope | undefined
  /** Undefined: what the role does not allow is refused. */
  readonly hold?: HoldScope | undefined
}

/** What a read-only shell has around it where nobody said otherwise; the numbers are the config's own. */
const USUAL_WORKSPACE: WorkspaceScope = {
  mode: 'read-only',
  network: 'host',
  isImplied: true,
  memoryMegabytes: 1024,
  tasks: 256,
  cpus: 2,
  changesMegabytes: 64,
}

/** The role for looking only, as an approver may narrow it: commands, forwarding, WebSockets (nobody judges what goes through one) and writing go, nothing comes in their place. */
export function readOnly(role: Role): Role {
  const { ssh, postgres, http } = role
  const scope = ssh.readOnly ?? READ_ONLY_DEFAULTS
  return {
    ...role,
    ssh: {
      ...ssh,
      shell: ssh.shell === 'none' ? 'none' : 'read-only',
      readOnly: { ...scope, files: { ...scope.files, write: [] } },
      workspace: ssh.workspace === undefined ? USUAL_WORKSPACE : { ...ssh.workspace, mode: 'read-only' },
      forward: [],
      commands: [],
    },
    postgres: { ...postgres, mode: 'read-only', workspace: undefined },
    http: http === undefined ? undefined : { ...http, mode: 'read-only', websocket: false },
    hold: undefined,
  }
}

export function covers(role: Role, target: Target): boolean {
  if (role.targets.names.includes(target.name)) return true
  const labels = Object.entries(role.targets.labels)
  return labels.length > 0 && labels.every(([key, value]) => target.labels[key] === value)
}

/** Whether what was opened under `role` may go on under `next`: they differ at most in what only requests are judged by. */
export function opensTheSame(role: Role, next: Role): boolean {
  const asked = {
    description: '',
    requesters: [],
    approval: { kind: 'auto' },
    defaultMinutes: 0,
    maxMinutes: 0,
  } as const
  return JSON.stringify({ ...role, ...asked }) === JSON.stringify({ ...next, ...asked })
}
