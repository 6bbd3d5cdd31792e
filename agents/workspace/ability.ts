/** Whether this host can make workspaces, tried out once at start, and why not in the words of the step that failed. */
import { readFileSync } from 'node:fs'
import { StepFailed } from './holder.ts'
import type { WorkspaceWish } from './wish.ts'

export type Ability = {
  /** Undefined: it can. */
  readonly readOnly: string | undefined
  readonly overlay: string | undefined
}

const SWITCHES: readonly (readonly [setting: string, off: string, where: string])[] = [
  ['kernel.unprivileged_userns_clone', '0', '/proc/sys/kernel/unprivileged_userns_clone'],
  ['kernel.apparmor_restrict_unprivileged_userns', '1', '/proc/sys/kernel/apparmor_restrict_unprivileged_userns'],
  ['user.max_user_namespaces', '0', '/proc/sys/user/max_user_namespaces'],
]

/** @param attempt makes one such workspace and ends it. */
export async function tryOut(attempt: (wish: WorkspaceWish) => Promise<void>): Promise<Ability> {
  const wish: Omit<WorkspaceWish, 'mode'> = {
    network: 'none',
    memoryMegabytes: 512,
    tasks: 64,
    cpus: 1,
    changesMegabytes: 16,
    keepMinutes: 0,
  }
  const why = async (mode: WorkspaceWish['mode']): Promise<string | undefined> => {
    try {
      await attempt({ ...wish, mode })
      return undefined
    } catch (failure) {
      return reasonOf(failure)
    }
  }
  const readOnly = await why('read-only')
  return { readOnly, overlay: readOnly ?? (await why('overlay')) }
}

/** The step and what the system said, and the switch of the kernel that explains it. */
export function reasonOf(failure: unknown): string {
  const said = failure instanceof Error ? failure.message : String(failure)
  if (!(failure instanceof StepFailed) || !/unshare|users/.test(failure.step)) return said
  const set = SWITCHES.filter(([, off, where]) => valueOf(where) === off).map(([setting, off]) => `${setting}=${off}`)
  return set.length === 0 ? said : `${said} (${set.join(', ')})`
}

function valueOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}
