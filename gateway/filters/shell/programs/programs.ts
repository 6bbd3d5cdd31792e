/** Every program that the read-only shell has rules for. */
import { awk } from './awk.ts'
import { containerPrograms } from './containers.ts'
import { find } from './find.ts'
import { machinePrograms } from './machine.ts'
import { networkPrograms } from './network.ts'
import { plainPrograms } from './plain.ts'
import type { Program } from './program.ts'
import { sed } from './sed.ts'
import { systemdPrograms } from './systemd.ts'
import { textPrograms } from './text-tools.ts'

export const PROGRAMS: ReadonlyMap<string, Program> = new Map(
  [
    ...plainPrograms,
    ...textPrograms,
    ...systemdPrograms,
    ...machinePrograms,
    ...networkPrograms,
    ...containerPrograms,
    find,
    sed,
    awk,
  ].map((program) => [program.name, program]),
)
