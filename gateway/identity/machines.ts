/** Machines: programs with an identity of their own, proven by a client certificate of a CA that signs for machines only. */
import type { Identity, ShownCertificate, Subject, Username } from '../model/identity.ts'
import { Refusal } from '../model/refusal.ts'
import { refuseLocked } from './browser-sessions.ts'
import type { News } from './news.ts'
import type { IdentityParts, MachineSettings } from './parts.ts'
import { remember } from './people.ts'

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'hooks'> & {
  readonly machines: () => readonly MachineSettings[]
  readonly news: News
}

/** id-kp-clientAuth, RFC 5280 §4.2.1.12. */
const CLIENT_AUTHENTICATION = '1.3.6.1.5.5.7.3.2'

export class Machines {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /**
   * Who comes under this name with this certificate; undefined: a person, who signs in in another way.
   * A machine has no other way, and a certificate for machines is nobody else's.
   * @throws {Refusal} NOT_SIGNED_IN, LOCKED.
   */
  async identity(username: Username, shown: ShownCertificate | undefined): Promise<Identity | undefined> {
    const { state, clock, hooks, machines, news } = this.#parts
    const machine = machines().find(({ name }) => name === username)
    if (machine === undefined && (shown === undefined || shown.fault !== undefined)) return undefined
    const why = machine === undefined ? `it does not belong to ${username}` : faultOf(machine, shown, clock.now())
    if (machine === undefined || shown === undefined || why !== undefined) {
      const details = { via: 'certificate', why, fingerprint256: shown?.fingerprint256 }
      news('identity.refused', { actor: username, text: `A certificate for ${username} was refused.`, details })
      throw new Refusal('NOT_SIGNED_IN', `This certificate is not taken: ${why ?? 'none was shown'}.`, {
        next:
          machine === undefined
            ? 'It is a certificate for machines: leave it away (PGSSLCERT), and sign in as a person does.'
            : `Sign in with a certificate that the CA for machines made out to ${username}.`,
      })
    }
    const identity: Identity = {
      subject: `machine|${machine.name}` as Subject,
      username,
      groups: machine.groups,
      provider: 'machines',
      proof: { acr: undefined, amr: ['swk'], authTime: clock.now() },
    }
    await refuseLocked(hooks, identity)
    await state.tx((tx) => remember(tx, identity, clock.now()))
    news('identity.signed-in', {
      actor: username,
      text: `The machine ${username} signed in with a certificate.`,
      details: { via: 'certificate', fingerprint256: shown.fingerprint256, groups: machine.groups },
    })
    return identity
  }
}

/** Why this is not the machine's certificate now, or undefined. */
function faultOf(machine: MachineSettings, shown: ShownCertificate | undefined, now: number): string | undefined {
  if (shown === undefined) return 'none was shown'
  if (shown.fault === 'CERT_HAS_EXPIRED' || shown.expiresAt <= now) return 'it has expired'
  if (shown.fault === 'INVALID_PURPOSE' || (shown.fault === undefined && !shown.usages.includes(CLIENT_AUTHENTICATION)))
    return 'it is not for client authentication'
  if (shown.fault !== undefined) return 'the CA for machines has not signed it'
  const { certificate } = machine
  const isOwn =
    certificate.kind === 'common-name'
      ? shown.commonName === certificate.value
      : shown.alternatives.includes(`${certificate.kind === 'uri' ? 'URI' : 'DNS'}:${certificate.value}`)
  return isOwn ? undefined : `it does not belong to ${machine.name}`
}
