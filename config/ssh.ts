/** What a role may say about ssh. */
import { z } from 'zod'
import { alertRules } from './alerts.ts'
import { commands as granted } from './commands.ts'
import { duration, groups } from './words.ts'

const program = z.string().regex(/^[a-z0-9][a-z0-9._-]*$/, 'the name of a program, without a path')
const programs = z
  .array(
    z.union([
      program,
      z
        .record(program, z.array(z.string().min(1)).min(1))
        .refine((entry) => Object.keys(entry).length === 1, 'one program with its flags and sub-commands'),
    ]),
  )
  .min(1)
const paths = z.array(z.string().startsWith('/', 'an absolute path; ** is any depth'))
const EVERY_FILE = { read: ['/**'], write: [], deny: [] }

const MOST_KEPT_MS = 30 * 24 * 3_600_000

/** What a workspace may use. */
const limits = z.strictObject({
  memory_megabytes: z.int().min(16).max(1_048_576).default(1024),
  tasks: z.int().min(4).max(65_536).default(256),
  cpus: z.number().min(0.05).max(1024).default(2),
  /** What is written in all, in memory: an overlay's changes and temporary files. */
  changes_megabytes: z.int().min(1).max(65_536).default(64),
})

export const sshScope = z
  .strictObject({
    shell: z.enum(['full', 'read-only', 'none']).default('none'),
    /** A list: programs of the read-only shell; left out, all of `unix-read-only`, which may also be named in it. By name: granted commands. */
    commands: z
      .union([
        programs.transform((list) => ({ list, granted: undefined })),
        granted.transform((all) => ({ list: undefined, granted: all })),
      ])
      .optional(),
    /** Wins over the list. */
    deny: programs.optional(),
    files: z
      .strictObject({
        read: paths.default(['/**']),
        write: paths.default([]),
        deny: paths.default([]),
      })
      .optional(),
    /** What raises an alarm in a full shell: name → pattern, or more about it. */
    alerts: alertRules.optional(),
    /** Where programs run on hosts with an agent. Left out: a read-only shell runs in a read-only one, other shells on the host as it is. */
    workspace: z.enum(['read-only', 'overlay']).optional(),
    /** Left out: none, but as the host's for a read-only shell. */
    network: z.enum(['none', 'host']).optional(),
    limits: limits.optional(),
    /** Changes of an overlay stay on their host for so long, for a second person of these groups to apply. Left out: they are thrown away. */
    keep: z.strictObject({ for: duration, approvers: groups.min(1) }).optional(),
    /** Takes the kernel's refusal away from a read-only shell: the judge alone stands between a person and the host. */
    dangerously_without_workspace: z.boolean().default(false),
    forward: z.array(z.string().regex(/^[\w.*-]+:(\d+|\*)$/, 'host:port, * for any')).default([]),
  })
  .refine((s) => s.shell === 'read-only' || (s.commands?.list ?? s.deny ?? s.files) === undefined, {
    message: 'a list of commands, deny and files belong to shell: read-only; nothing else would keep to them',
  })
  .refine((s) => s.shell === 'full' || s.alerts === undefined, {
    path: ['alerts'],
    message: 'alerts watch a shell: full; lines of any other are judged before they run',
  })
  .refine((s) => s.workspace !== 'overlay' || s.shell !== 'read-only', {
    message: 'a read-only shell has nothing to write into an overlay; its workspace is read-only',
  })
  .refine((s) => s.workspace !== undefined || s.shell === 'read-only' || (s.network ?? s.limits) === undefined, {
    message: 'network and limits belong to a workspace; name one: workspace: read-only or overlay',
  })
  .refine((s) => s.keep === undefined || s.workspace === 'overlay', {
    message: 'keep belongs to workspace: overlay; nothing else has changes to keep',
  })
  .refine((s) => s.keep === undefined || s.keep.for <= MOST_KEPT_MS, {
    message: 'changes are kept for 30 days at most',
  })
  .refine((s) => !s.dangerously_without_workspace || (s.shell === 'read-only' && s.workspace === undefined), {
    message: 'dangerously_without_workspace is for shell: read-only, and contradicts a workspace',
  })
  .refine((s) => s.workspace === undefined || s.forward.length === 0, {
    message: 'forwarding would lead past the workspace; leave one of both out',
  })
  .transform(({ commands, deny = [], files = EVERY_FILE, forward, shell, alerts, ...wish }) => ({
    shell,
    forward,
    ...workspaceOf(shell, wish),
    commands: commands?.granted ?? [],
    ...(alerts === undefined ? {} : { alerts }),
    ...(shell === 'read-only' ? { readOnly: { commands: commands?.list, deny, files } } : {}),
  }))

type Wish = {
  readonly workspace?: 'read-only' | 'overlay' | undefined
  readonly network?: 'none' | 'host' | undefined
  readonly limits?: z.output<typeof limits> | undefined
  readonly keep?: { readonly for: number; readonly approvers: readonly string[] } | undefined
  readonly dangerously_without_workspace: boolean
}

function workspaceOf(shell: 'full' | 'read-only' | 'none', wish: Wish) {
  const mode =
    wish.workspace ?? (shell === 'read-only' && !wish.dangerously_without_workspace ? 'read-only' : undefined)
  if (mode === undefined) return {}
  const most = wish.limits ?? limits.parse({})
  return {
    workspace: {
      mode,
      network: wish.network ?? (shell === 'read-only' ? ('host' as const) : ('none' as const)),
      isImplied: wish.workspace === undefined,
      memoryMegabytes: most.memory_megabytes,
      tasks: most.tasks,
      cpus: most.cpus,
      changesMegabytes: most.changes_megabytes,
      ...(wish.keep === undefined ? {} : { keep: { minutes: wish.keep.for / 60_000, approvers: wish.keep.approvers } }),
    },
  }
}
