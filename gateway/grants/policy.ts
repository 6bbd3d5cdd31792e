/** Who may have what, as the config says now. */
import type { Role } from '../model/role.ts'
import type { Target } from '../model/target.ts'

export type Policy = {
  readonly targets: readonly Target[]
  readonly roles: readonly Role[]
  /** Groups that may do everything but approve. */
  readonly admins: readonly string[]
  /** Groups that may see everything. */
  readonly auditors: readonly string[]
}
