/** The demo identity provider: oidc-provider with passwords and one-time codes. For demos and tests; it keeps everything in memory. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ClientMetadata, type Configuration, errors, interactionPolicy, Provider } from 'oidc-provider'
import { Agent, fetch as fetchThrough } from 'undici'
import { PATHS } from '../../gateway/identity/identity.ts'
import { memoryAdapters } from './idp-memory.ts'
import { failurePage, signedOutPage, signInPage, signOutPage, STYLE_PATH, style } from './idp-pages.ts'
import { totpStep } from './totp.ts'

const ACR_PASSWORD = 'urn:sallyport:acr:password'
/** What a client asks for, and gets, when a one-time code was given as well. */
export const ACR_MFA = 'urn:sallyport:acr:mfa'

export type IdpPerson = {
  readonly username: string
  readonly password: string
  /** Base32. Undefined: has no second factor. */
  readonly totpSecret: string | undefined
  readonly groups: readonly string[]
  readonly email: string
}

export type IdpParts = {
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number
  readonly people: readonly IdpPerson[]
  /** The gateways that people sign in to. `publicUrl` has no path. */
  readonly clients: readonly { readonly id: string; readonly secret: string; readonly publicUrl: string }[]
  /** PEM of the gateway's own certificate, for back-channel logout; asked for when it is needed, because the gateway starts later. */
  readonly trusted?: () => string | undefined
  /** An RSA key of 2048 bits. Left out: a new one. */
  readonly signingKey?: KeyObject
  /** The time that one-time codes are judged by. */
  readonly now?: () => number
}

export type Idp = { readonly issuer: string; close(): Promise<void> }

export async function startIdp(parts: IdpParts): Promise<Idp> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(parts.port, '127.0.0.1', resolve)
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(issuer, configuration(parts))
  server.on('request', desk(provider, parts))
  return {
    issuer,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function configuration(parts: IdpParts): Configuration {
  const people = new Map(parts.people.map((person) => [person.username, person]))
  const key = parts.signingKey ?? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const jwk = key.export({ format: 'jwk' })
  const kid = createHash('sha256')
    .update(jwk.n ?? '')
    .digest('base64url')
  return {
    adapter: memoryAdapters(),
    clients: parts.clients.map(registration),
    jwks: { keys: [{ ...jwk, use: 'sig', alg: 'RS256', kid }] },
    cookies: {
      keys: [randomBytes(32).toString('hex')],
      names: { session: 'demo_idp', interaction: 'demo_idp_step', resume: 'demo_idp_resume' },
    },
    interactions: { policy: policy(), url: (_, { uid }) => `/interaction/${uid}` },
    acrValues: [ACR_PASSWORD, ACR_MFA],
    scopes: ['openid', 'profile', 'email', 'groups'],
    claims: {
      openid: ['sub', 'acr', 'amr', 'auth_time'],
      profile: ['preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
      sid: null,
    },
    // Claims belong into the ID token, too, where the gateway reads them.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      IdToken: 300,
      Interaction: 600,
      Session: 8 * 3600,
      Grant: 8 * 3600,
    },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (context, form) => {
          context.set(pageHeaders(parts))
          context.body = signOutPage(form)
        },
        postLogoutSuccessSource: (context) => {
          context.set(pageHeaders(parts))
          context.body = signedOutPage()
        },
      },
    },
    renderError: (context, out) => {
      context.set(pageHeaders(parts))
      context.body = failurePage(`${out.error}: ${out.error_description ?? ''}`)
    },
    // The library's own fetch refuses loopback addresses, where the demo's gateway is.
    fetch: (url, init) => deliver(parts, url as string, init),
    findAccount: (_, id) => {
      const person = people.get(id)
      if (person === undefined) return undefined
      const { username, email, groups } = person
      const claims = { sub: id, preferred_username: username, email, email_verified: true, groups: [...groups] }
      return { accountId: id, claims: () => claims }
    },
    loadExistingGrant: async ({ oidc }) => {
      if (oidc.client === undefined || oidc.session?.accountId === undefined) return undefined
      // One house, one client: nobody is asked for consent.
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
      grant.addOIDCScope(textOf(oidc.params?.['scope']))
      await grant.save()
      return grant
    },
  }
}

const registration = ({ id, secret, publicUrl }: IdpParts['clients'][number]): ClientMetadata => ({
  client_id: id,
  client_secret: secret,
  grant_types: ['authorization_code'],
  response_types: ['code'],
  redirect_uris: [new URL(PATHS.callback, publicUrl).href],
  post_logout_redirect_uris: [new URL(PATHS.signedOut, publicUrl).href],
  backchannel_logout_uri: new URL(PATHS.backchannelLogout, publicUrl).href,
  backchannel_logout_session_required: true,
})

async function deliver(parts: IdpParts, url: string, init: RequestInit | undefined): Promise<Response> {
  const certificate = parts.trusted?.()
  const courier = new Agent(certificate === undefined ? {} : { connect: { ca: certificate } })
  try {
    const answer = await fetchThrough(url, {
      method: init?.method ?? 'GET',
      headers: init?.headers as Record<string, string>,
      body: init?.body as string,
      signal: init?.signal ?? null,
      redirect: 'manual',
      dispatcher: courier,
    })
    return new Response(await answer.text(), { status: answer.status === 204 ? 200 : answer.status })
  } finally {
    await courier.destroy()
  }
}

/** `acr_values` alone would be a wish; here it makes who signed in without a code sign in again. */
function policy() {
  const prompts = interactionPolicy.base()
  prompts.remove('consent')
  prompts.get('login')?.checks.add(
    new interactionPolicy.Check('second_factor', 'a second factor is asked for', ({ oidc }) => {
      const isDone = !wantsMfa(oidc.params) || oidc.acr === ACR_MFA || oidc.result?.login !== undefined
      return isDone ? interactionPolicy.Check.NO_NEED_TO_PROMPT : interactionPolicy.Check.REQUEST_PROMPT
    }),
  )
  return prompts
}

const textOf = (parameter: unknown): string => (typeof parameter === 'string' ? parameter : '')

const wantsMfa = (params: Readonly<Record<string, unknown>> | undefined): boolean =>
  textOf(params?.['acr_values']).split(' ').includes(ACR_MFA)

/** Chromium judges redirects after a form by `form-action`, so the clients are named. */
function pageHeaders(parts: IdpParts): Record<string, string> {
  const origins = [...new Set(parts.clients.map(({ publicUrl }) => new URL(publicUrl).origin))]
  return {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': `default-src 'none'; style-src 'self'; form-action 'self' ${origins.join(' ')}; base-uri 'none'; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  }
}

function desk(provider: Provider, parts: IdpParts): (request: IncomingMessage, response: ServerResponse) => void {
  const protocol = provider.callback()
  const check = checker(parts)
  const show = (response: ServerResponse, status: number, html: string) =>
    response.writeHead(status, pageHeaders(parts)).end(html)

  async function interaction(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { uid, params } = await provider.interactionDetails(request, response)
    const ask = { action: `/interaction/${uid}`, user: textOf(params['login_hint']).slice(0, 64) }
    if (request.method !== 'POST') {
      show(response, 200, signInPage({ ...ask, failure: undefined }))
      return
    }
    const form = await formOf(request)
    const user = form.get('user') ?? ''
    const result = check(user, form.get('password') ?? '', form.get('otp') ?? '', wantsMfa(params))
    if (typeof result === 'string') {
      show(response, 200, signInPage({ ...ask, user: user.slice(0, 64), failure: result }))
      return
    }
    const login = { accountId: user, ...result, ts: Math.floor(Date.now() / 1000), remember: true }
    await provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false })
  }

  return (request, response) => {
    const path = request.url ?? '/'
    if (path === STYLE_PATH) {
      response.writeHead(200, { 'content-type': 'text/css', 'x-content-type-options': 'nosniff' }).end(style)
    } else if (path.startsWith('/interaction/')) {
      interaction(request, response).catch((failure: unknown) => {
        const status = failure instanceof errors.OIDCProviderError ? failure.statusCode : 500
        if (!response.headersSent) show(response, status, failurePage('This sign-in is over. Start again.'))
      })
    } else void protocol(request, response)
  }
}

type Proven = { readonly acr: string; readonly amr: string[] }

/** Returns what was proven, or a sentence. */
function checker(
  parts: IdpParts,
): (user: string, password: string, code: string, wantsMfa: boolean) => Proven | string {
  const WRONG = 'The user name, the password or the one-time code is wrong.'
  const now = parts.now ?? Date.now
  const used = new Map<string, number>()
  return (user, password, code, wantsMfa) => {
    const person = parts.people.find(({ username }) => username === user)
    // The comparison runs for unknown names, too.
    const isRight = isEqual(password, person?.password ?? randomBytes(16).toString('hex'))
    if (person === undefined || !isRight) return WRONG
    const { totpSecret } = person
    if (totpSecret === undefined) return { acr: ACR_PASSWORD, amr: ['pwd'] }
    if (code === '') return wantsMfa ? 'Type your one-time code as well.' : { acr: ACR_PASSWORD, amr: ['pwd'] }
    const step = totpStep(totpSecret, code, now())
    if (step === undefined) return WRONG
    if (step <= (used.get(user) ?? 0)) return 'This one-time code was used before. Wait for the next one.'
    used.set(user, step)
    return { acr: ACR_MFA, amr: ['pwd', 'otp', 'mfa'] }
  }
}

const isEqual = (a: string, b: string): boolean =>
  timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  let body = ''
  for await (const chunk of request) {
    body += String(chunk)
    if (body.length > 10_000) throw new errors.InvalidRequest('the form is too long')
  }
  return new URLSearchParams(body)
}
