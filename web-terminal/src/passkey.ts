/** Speaks to the person's authenticator. The library comes when it is needed: few pages ever do. */
import type * as simplewebauthn from '@simplewebauthn/browser'
import type { Confirmed, NewPasskey, PasskeyAnswer, PasskeyOptions } from '../../gateway/portal/schema/passkeys.ts'
import { type Api, ApiFailure } from './api.ts'
import { routes } from './routes.ts'
import { words } from './strings/strings.ts'

type Library = typeof simplewebauthn
type Creation = Parameters<Library['startRegistration']>[0]['optionsJSON']
type Request = Parameters<Library['startAuthentication']>[0]['optionsJSON']

/** @throws {ApiFailure} when the person or the authenticator said no. */
export async function create(options: PasskeyOptions): Promise<NewPasskey> {
  const answer = await spoken(({ startRegistration }) =>
    startRegistration({ optionsJSON: options as object as Creation }),
  )
  const { clientDataJSON, attestationObject, transports = [] } = answer.response
  return { ...bare(answer), response: { clientDataJSON, attestationObject, transports: [...transports] } }
}

/** @throws {ApiFailure} when the person or the authenticator said no. */
export async function touch(options: PasskeyOptions): Promise<PasskeyAnswer> {
  const answer = await spoken(({ startAuthentication }) =>
    startAuthentication({ optionsJSON: options as object as Request }),
  )
  const { clientDataJSON, authenticatorData, signature } = answer.response
  return { ...bare(answer), response: { clientDataJSON, authenticatorData, signature } }
}

/** For one session on that target: what the gateway gives for a touch, worth one use within a minute. @throws {ApiFailure} */
export async function confirmed(api: Api, target: string): Promise<string> {
  const options = await api.post<PasskeyOptions>(routes.confirmOptions, { target })
  return (await api.post<Confirmed>(routes.confirm, { target, answer: await touch(options) })).confirmation
}

const bare = ({ id, rawId }: { readonly id: string; readonly rawId: string }) => ({
  id,
  rawId,
  type: 'public-key' as const,
  clientExtensionResults: {},
})

async function spoken<T>(work: (library: Library) => Promise<T>): Promise<T> {
  const library = await import('@simplewebauthn/browser').catch(() => {
    throw new ApiFailure({ code: 'OFFLINE', message: '', next: null, reference: '' })
  })
  try {
    return await work(library)
  } catch (problem) {
    if (!(problem instanceof Error)) throw problem
    const isDone = problem.name === 'InvalidStateError'
    const message = isDone ? words.passkeys.already : words.passkeys.refused
    throw new ApiFailure({ code: 'PASSKEY', message, next: isDone ? null : words.passkeys.refusedNext, reference: '' })
  }
}
