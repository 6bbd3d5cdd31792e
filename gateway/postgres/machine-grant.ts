/** A machine has nobody who asks for it: where the rule of its role is `auto`, its connection does. */
import { covers } from '../model/role.ts'
import type { Target } from '../model/target.ts'
import { roleIn } from '../model/target-name.ts'
import type { AccessDesk, Wish } from '../session/session.ts'

export type MachineGrantParts = {
  readonly desk: Pick<AccessDesk, 'roles' | 'request'>
  readonly target: (name: string) => Target | undefined
}

/** Shared by the connections of a pool that come together. */
export class MachineGrants {
  readonly #parts: MachineGrantParts
  readonly #asking = new Map<string, Promise<unknown>>()

  constructor(parts: MachineGrantParts) {
    this.#parts = parts
  }

  /**
   * Asks for the one role that it can be; admission decides what came of it. False: there is none, or several.
   * @throws {Refusal} TOO_MANY, LOCKED…
   */
  async ask({ identity, target: name, under }: Wish, fingerprint256: string): Promise<boolean> {
    if (under?.kind === 'grant') return false
    const { desk, target } = this.#parts
    const wanted = roleIn(under)
    const at = target(name)
    const roles = at === undefined ? [] : (await desk.roles(identity)).filter((role) => covers(role, at))
    const [role, ...others] = roles.filter(
      ({ name: known, approval, endpoints }) =>
        approval.kind === 'auto' && endpoints.includes('postgres') && (wanted ?? known) === known,
    )
    if (role === undefined || others.length > 0) return false
    const key = `${identity.subject} ${name} ${role.name}`
    const reason = `Certificate ${fingerprint256}`
    const asking =
      this.#asking.get(key) ??
      desk
        .request(identity, { target: name, role: role.name, reason, endpoints: ['postgres'], orLive: true })
        .finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    await asking
    return true
  }
}
