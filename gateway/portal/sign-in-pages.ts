/** Signing in and out: the pages between the browser and the provider. What is decided here is decided by identity. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Clock } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { App } from './application.ts'
import { cookieOf, goneCookie, SESSION_COOKIE, SIGN_IN_COOKIE, sessionCookie, signInCookie } from './cookies.ts'
import { Limiter } from './limiter.ts'
import type { PortalParts } from './parts.ts'
import { returnPath } from './return-to.ts'
import { SIGN_IN_PATH } from './schema/wire.ts'
import { sendPage } from './send-page.ts'
import { addressOf } from './visitor.ts'

type Parts = Pick<PortalParts, 'identity' | 'settings'> & { readonly clock: Clock }

const text = z.string().max(4096).optional()
const signInQuery = z.object({ returnTo: text, provider: text, fresh: text })
const open = { config: { policy: 'public' }, schema: { hide: true } } as const

export function signInPages(app: App, { identity, settings, clock }: Parts): void {
  const publicUrl = new URL(settings.publicUrl)
  const { callback, backchannelLogout, signedOut } = settings.paths
  const perAddress = new Limiter({ clock, tries: 60, perMinutes: 1 })
  // A provider signs out a whole company in a minute, and says so once: what is turned away here goes on for hours.
  const perProvider = new Limiter({ clock, tries: 3000, perMinutes: 1 })

  app.get(SIGN_IN_PATH, { ...open, schema: { hide: true, querystring: signInQuery } }, async (request, reply) => {
    const { provider, fresh } = request.query
    const returnTo = returnPath(request.query.returnTo, publicUrl)
    if (provider === undefined && identity.providers.length > 1) return chooser(reply, identity.providers, returnTo)
    perAddress.take(addressOf(request))
    const stepUp = fresh === '1' ? { stepUp: true } : {}
    const begun = await identity.beginSignIn({ provider, returnTo, address: addressOf(request), ...stepUp })
    return await reply.header('set-cookie', signInCookie(begun.cookie)).redirect(begun.location)
  })

  app.get(callback, open, async (request, reply) => {
    perAddress.take(addressOf(request))
    // Whatever comes of it, this sign-in cannot be tried twice.
    void reply.header('set-cookie', goneCookie(SIGN_IN_COOKIE))
    const { cookie } = request.headers
    const finished = await identity.finishSignIn({
      url: askedFor(request, publicUrl),
      cookie: cookieOf(cookie, SIGN_IN_COOKIE),
      previous: cookieOf(cookie, SESSION_COOKIE),
      address: addressOf(request),
    })
    if ('again' in finished) {
      void reply.removeHeader('set-cookie')
      return await reply.header('set-cookie', signInCookie(finished.again.cookie)).redirect(finished.again.location)
    }
    // A second `set-cookie` is added to the first.
    return await reply
      .header('set-cookie', sessionCookie(finished.session))
      .redirect(returnPath(finished.returnTo, publicUrl))
  })

  app.get(signedOut, open, async (_, reply) =>
    sendPage(reply, 200, {
      title: 'You are signed out',
      text: ['This browser can open nothing here any more. Sessions that run elsewhere go on until their grant ends.'],
      links: [{ label: 'Sign in again', href: SIGN_IN_PATH }],
    }),
  )

  // Here alone: the API reads JSON only.
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_: unknown, body: string) => Object.fromEntries(new URLSearchParams(body)),
  )
  app.post(backchannelLogout, open, async (request, reply) => {
    perProvider.take(addressOf(request))
    const token = (request.body as { readonly logout_token?: unknown } | undefined)?.logout_token
    if (typeof token !== 'string') throw new Refusal('BAD_INPUT', 'There is no logout_token.')
    await identity.backchannelLogout(token)
    return await reply.code(200).send()
  })
}

/** Never from the Host header: what a provider sends back is checked against our own name. */
const askedFor = (request: FastifyRequest, publicUrl: URL): URL => {
  const url = new URL(publicUrl)
  const [path = '', ...query] = request.url.split('?')
  url.pathname = path
  url.search = query.join('?')
  return url
}

function chooser(reply: FastifyReply, providers: Parts['identity']['providers'], returnTo: string): FastifyReply {
  const href = (name: string) => `${SIGN_IN_PATH}?${new URLSearchParams({ provider: name, returnTo }).toString()}`
  return sendPage(reply, 200, {
    title: 'Sign in',
    text: ['Where is your account?'],
    links: providers.map(({ name, title }) => ({ label: title, href: href(name) })),
  })
}
