/** For web targets, which live on host names of their own: handing a signed-in browser over, asking for access, and the keys of what targets are told. */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { Refusal } from '../model/refusal.ts'
import type { Role } from '../model/role.ts'
import type { App } from './application.ts'
import { formPolicy, pagePolicy } from './headers.ts'
import { escape, html } from './pages.ts'
import type { PortalParts } from './parts.ts'
import { webTarget as target, WEB_TOUCH_PATH, wayBack } from './schema/web.ts'
import { returnPath } from './return-to.ts'
import { roleView } from './role-view.ts'
import { SIGN_IN_PATH } from './schema/wire.ts'
import { recognise, type Visitor } from './visitor.ts'

export const WEB_PATHS = {
  signIn: SIGN_IN_PATH,
  /** `?target=&returnTo=&state=`: a page of the target sends its browser here. */
  handOver: '/web-sign-in',
  /** The same with `grant=`, by a page of the application: the role asks for the touch of a passkey. */
  touch: WEB_TOUCH_PATH,
  /** `?target=&returnTo=`: the form for access. */
  ask: '/web-ask',
  keys: '/.well-known/jwks.json',
} as const

/** Where a target takes a browser in; its half of the way is in http/. */
export const enterUrl = (origin: string, code: string): string => `${origin}/.sallyport/enter?code=${code}`

type Parts = Pick<PortalParts, 'identity' | 'desk' | 'role' | 'settings'> & {
  readonly web: NonNullable<PortalParts['web']>
}

const returnTo = wayBack.returnTo.optional()
const handOverQuery = z.object({ target, returnTo, state: wayBack.state })
const askQuery = z.object({ target, returnTo })
const askBody = z.object({
  target,
  returnTo,
  token: z.string().max(200),
  role: z.string().max(100),
  minutes: z.coerce.number().int().positive().max(100_000),
  reason: z.string().max(2000),
})
const open = { policy: 'public' } as const

/** Where the web application of a target is: on our port, under a name of its own. */
export const webOrigins =
  ({ port }: URL, domain: string) =>
  (name: string): string =>
    `https://${name}.${domain}${port === '' ? '' : `:${port}`}`

export function webRoutes(app: App, { identity, desk, role, settings, web }: Parts): void {
  const publicUrl = new URL(settings.publicUrl)
  const originOf = webOrigins(publicUrl, web.domain)
  const known = { identity, desk, role }

  app.get(
    WEB_PATHS.handOver,
    { config: open, schema: { hide: true, querystring: handOverQuery } },
    async (request, reply) => {
      asPage(request)
      const { target, state } = request.query
      const visitor = await recognise(known, request)
      if (visitor === undefined) return await signInFirst(request, reply)
      const code = await web.sessions.mint({
        portalCookie: visitor.cookie,
        target,
        state,
        returnTo: returnPath(request.query.returnTo, publicUrl),
      })
      // A page that goes on, not a redirect: providers that allow their forms to lead to us alone would stop a redirect to a target.
      const onward = enterUrl(originOf(target), code)
      const nonce = randomBytes(16).toString('base64')
      return reply
        .header('content-security-policy', pagePolicy(nonce))
        .type('text/html; charset=utf-8')
        .send(html({ title: `On to ${target}`, text: [], links: [{ label: 'Go on', href: onward }], onward }, nonce))
    },
  )

  app.get(WEB_PATHS.ask, { config: open, schema: { hide: true, querystring: askQuery } }, async (request, reply) => {
    asPage(request)
    const visitor = await recognise(known, request)
    if (visitor === undefined) return await signInFirst(request, reply)
    return await form(reply, visitor, request.query)
  })

  app.post(WEB_PATHS.ask, { config: open, schema: { hide: true, body: askBody } }, async (request, reply) => {
    asPage(request)
    const visitor = await recognise(known, request)
    if (visitor === undefined) throw new Refusal('NOT_SIGNED_IN', 'You are not signed in.', { next: 'Sign in.' })
    const { token, target, ...ask } = request.body
    if (request.headers.origin !== publicUrl.origin || !same(token, visitor.session.csrfToken))
      throw new Refusal('NOT_ALLOWED', 'This call did not come from a page of the gateway.', {
        next: 'Reload the page.',
      })
    try {
      await desk.request(visitor.identity, { target, role: ask.role, minutes: ask.minutes, reason: ask.reason })
    } catch (failure) {
      if (!(failure instanceof Refusal)) throw failure
      return await form(reply.code(failure.wire.status), visitor, { ...request.body, wrong: failure.message })
    }
    return await reply.redirect(`${originOf(target)}${returnPath(ask.returnTo, publicUrl)}`, 303)
  })

  app.get(WEB_PATHS.keys, { config: open, schema: { hide: true } }, async (_, reply) => {
    const keys = await web.sessions.publicKeys()
    return reply
      .header('cache-control', 'public, max-age=60')
      .type('application/json')
      .serializer(String)
      .send(`{"keys":[${keys.join(',')}]}`)
  })

  const form = async (
    reply: FastifyReply,
    visitor: Visitor,
    ask: { readonly target: string; readonly returnTo?: string | undefined; readonly wrong?: string } & Partial<Filled>,
  ): Promise<FastifyReply> => {
    const view = (await desk.targets(visitor.identity)).find((seen) => seen.target.name === ask.target)
    const roles =
      view?.target.http === undefined ? [] : view.roles.filter(({ endpoints }) => endpoints.includes('http'))
    const back = returnPath(ask.returnTo, publicUrl)
    const nonce = randomBytes(16).toString('base64')
    const links = [{ label: 'Back', href: `${originOf(ask.target)}${back}` }]
    const page =
      view === undefined || roles.length === 0
        ? { title: 'No access', text: [`There is no role on ${ask.target} that you could ask for.`], links }
        : {
            title: `Ask for access to ${ask.target}`,
            text: view.target.description === '' ? [] : [view.target.description],
            form: fieldsFor(roles, view.target, { ...ask, returnTo: back, token: visitor.session.csrfToken }),
            links,
          }
    return reply
      .headers({
        'content-security-policy': formPolicy(nonce, originOf(ask.target)),
        // With `no-referrer` browsers say `Origin: null` of our own form.
        'referrer-policy': 'same-origin',
      })
      .type('text/html; charset=utf-8')
      .send(html(page, nonce))
  }
}

type Filled = { readonly role: string; readonly minutes: number; readonly reason: string }

function fieldsFor(
  roles: readonly Role[],
  target: Parameters<typeof roleView>[1],
  ask: Partial<Filled> & {
    readonly target: string
    readonly returnTo: string
    readonly token: string
    readonly wrong?: string
  },
): string {
  const choices = roles.map((role, i) => {
    const { name, scopes, approval, maxMinutes } = roleView(role, target)
    const words = `${scopes.flatMap(({ allows }) => allows).join(' ')} Approval: ${approval} At most ${maxMinutes} minutes.`
    const isChosen = ask.role === undefined ? i === 0 : ask.role === name
    return `<label class="choice"><input type="radio" name="role" value="${escape(name)}" required${isChosen ? ' checked' : ''}> ${escape(name)}<small>${escape(words)}</small></label>`
  })
  const hidden = Object.entries({ target: ask.target, returnTo: ask.returnTo, token: ask.token }).map(
    ([name, value]) => `<input type="hidden" name="${name}" value="${escape(value)}">`,
  )
  const minutes = ask.minutes ?? roles[0]?.defaultMinutes ?? 30
  const most = Math.max(...roles.map(({ maxMinutes }) => maxMinutes))
  const alert = ask.wrong === undefined ? '' : `<p role="alert">${escape(ask.wrong)}</p>`
  return `${alert}<form method="post" action="${WEB_PATHS.ask}">${hidden.join('')}
<fieldset><legend>Role</legend>${choices.join('')}</fieldset>
<label for="minutes">Minutes<small>The clock starts when access begins.</small></label><input id="minutes" name="minutes" type="number" min="1" max="${most}" required value="${minutes}">
<label for="reason">Reason<small>What an approver and an auditor will read.</small></label><input id="reason" name="reason" maxlength="500" required value="${escape(ask.reason ?? '')}">
<button>Ask for access</button>
</form>
`
}

async function signInFirst(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  return await reply.redirect(`${SIGN_IN_PATH}?returnTo=${encodeURIComponent(request.url)}`)
}

/** Never inside a frame, never for a script: a person looks at it. */
function asPage({ headers }: FastifyRequest): void {
  const dest = headers['sec-fetch-dest']
  if (dest !== undefined && dest !== 'document')
    throw new Refusal('NOT_ALLOWED', 'This is a page, for a window of its own.')
}

function same(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)]
  return a.length === b.length && a.length > 0 && timingSafeEqual(a, b)
}
