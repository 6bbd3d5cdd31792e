/** How this gateway is, for administrators who look at its pages: what the supervisor says, and what this worker can see itself. */
import type { Moment } from './model/moment.ts'
import type { Library } from './session/session.ts'
import type { GatewayNumbers } from './telemetry.ts'

/** What the supervisor tells its workers every second. */
export type HouseNumbers = Omit<GatewayNumbers, 'counters'>

export type Health = {
  readonly version: string
  readonly workers: { readonly ready: number; readonly wanted: number; readonly restarts: number } | undefined
  readonly journal: {
    readonly isOpen: boolean
    readonly backlogBytes: number | undefined
    readonly oldestSeconds: number | undefined
    readonly mostBytes: number
  }
  readonly audit: { readonly isReachable: boolean; readonly kind: 'embedded' | 'server' }
  readonly state: { readonly seenAt: Moment; readonly kind: 'embedded' | 'server' }
  readonly providers: readonly { readonly title: string; readonly isReachable: boolean }[]
}

export type HealthParts = {
  readonly version: string
  readonly wanted: number
  readonly kinds: { readonly audit: Health['audit']['kind']; readonly state: Health['state']['kind'] }
  readonly journal: { readonly isOpen: () => boolean; readonly mostBytes: number }
  readonly numbers: () => HouseNumbers | undefined
  readonly library: Pick<Library, 'sessions'>
  readonly state: () => Moment
  readonly providers: () => Promise<Health['providers']>
}

export async function healthOf(parts: HealthParts): Promise<Health> {
  const numbers = parts.numbers()
  const [isReachable, providers] = await Promise.all([
    parts.library.sessions({ limit: 1 }).then(
      () => true,
      () => false,
    ),
    parts.providers(),
  ])
  return {
    version: parts.version,
    workers:
      numbers === undefined
        ? undefined
        : { ready: numbers.workers, wanted: parts.wanted, restarts: numbers.workerRestarts },
    journal: {
      isOpen: parts.journal.isOpen(),
      backlogBytes: numbers?.journalBacklogBytes,
      oldestSeconds: numbers?.journalOldestSeconds,
      mostBytes: parts.journal.mostBytes,
    },
    audit: { isReachable: isReachable && numbers?.auditReachable !== false, kind: parts.kinds.audit },
    state: { seenAt: parts.state(), kind: parts.kinds.state },
    providers,
  }
}
