/** The touch of a passkey that a page says it has had, for one session on one target. */
import type { Identity } from '../model/identity.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import type { PasskeyDesk } from './parts.ts'

/** One that is not good is none: the door asks for it again. */
export async function touched(
  passkeys: Pick<PasskeyDesk, 'redeem'>,
  who: Identity,
  target: string,
  confirmation: string | undefined,
): Promise<PasskeyProof | undefined> {
  if (confirmation === undefined) return undefined
  return passkeys.redeem(who, target, confirmation).catch(() => undefined)
}
