/** What a role may say about ssh. */
import { z } from 'zod'
import { alertRules } from './alerts.ts'
import { commands as granted } from './commands.ts'

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
    forward: z.array(z.string().regex(/^[\w.*-]+:(\d+|\*)$/, 'host:port, * for any')).default([]),
  })
  .refine((s) => s.shell === 'read-only' || (s.commands?.list ?? s.deny ?? s.files) === undefined, {
    message: 'a list of commands, deny and files belong to shell: read-only; nothing else would keep to them',
  })
  .refine((s) => s.shell === 'full' || s.alerts === undefined, {
    path: ['alerts'],
    message: 'alerts watch a shell: full; lines of any other are judged before they run',
  })
  .transform(({ commands, deny = [], files = EVERY_FILE, forward, shell, alerts }) => ({
    shell,
    forward,
    commands: commands?.granted ?? [],
    ...(alerts === undefined ? {} : { alerts }),
    ...(shell === 'read-only' ? { readOnly: { commands: commands?.list, deny, files } } : {}),
  }))
