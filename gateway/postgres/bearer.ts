/** OAUTHBEARER as a server (RFC 7628; PostgreSQL 18's "oauth"): the client brings a token of the identity provider. */
import type { Identity, Username } from '../model/identity.ts'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { Greeted } from './greeting.ts'
import { AUTHENTICATION_OK, authenticationSasl, authenticationSaslContinue, FieldReader } from './message.ts'

export type BearerTokens = {
  /**
   * The host name (SNI) at which this is offered, and nothing else: libpq takes the first mechanism it knows,
   * so that a list with this one in it would keep everybody out who has not set it up.
   */
  readonly hostname: string
  readonly issuer: string
  readonly scope: string
  /** Whose token this is; undefined: it is not valid, not meant for us, or of somebody else. @throws {Refusal} LOCKED, MFA_MISSING. */
  identity(username: Username, token: string): Promise<Identity | undefined>
}

const MAX_MESSAGE = 64 * 1024
const SEPARATOR = '\u0001'

export async function checkBearer(
  { stream, reader }: Extract<Greeted, { type: 'client' }>,
  username: Username,
  bearer: BearerTokens,
): Promise<Identity> {
  stream.write(authenticationSasl(['OAUTHBEARER']))
  const first = await reader.message(MAX_MESSAGE)
  if (first.type !== 'p') throw new MalformedMessage(`message ${first.type} instead of a token`)
  const fields = new FieldReader(first.body)
  if (fields.string() !== 'OAUTHBEARER') throw new MalformedMessage('SASL mechanism')
  const initial = fields.value()?.toString('utf8') ?? ''
  fields.end()
  // A GS2 header without channel binding, then key=value pairs, each ended by ^A, and one more of it.
  const [header, ...pairs] = initial.split(SEPARATOR)
  if (!/^[ny],[^,]*,$/.test(header ?? '') || pairs.pop() !== '' || pairs.pop() !== '')
    throw new MalformedMessage('OAUTHBEARER message')
  const auth = pairs.find((pair) => pair.startsWith('auth='))
  const token = /^auth=Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(auth ?? '')?.[1]
  const identity = token === undefined ? undefined : await bearer.identity(username, token)
  if (identity !== undefined) {
    stream.write(AUTHENTICATION_OK)
    return identity
  }
  // This tells libpq where to get a token; it answers with one byte, and comes back with a second connection.
  const configuration = `${bearer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const answer = { status: 'invalid_token', 'openid-configuration': configuration, scope: bearer.scope }
  stream.write(authenticationSaslContinue(JSON.stringify(answer)))
  await reader.message(MAX_MESSAGE)
  throw new Refusal('NOT_SIGNED_IN', `The token is not one of ${username}.`, {
    next: 'Set oauth_issuer and oauth_client_id, or connect to the gateway by its usual name.',
  })
}
