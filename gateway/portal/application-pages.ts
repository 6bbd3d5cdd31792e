/** The browser application: its page for every path of its own, its files, and a sign-in first for strangers. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from './application.ts'
import type { Application, Asset, Assets } from './assets.ts'
import { applicationPolicy } from './headers.ts'
import type { PortalParts } from './parts.ts'
import { returnPath } from './return-to.ts'
import { SIGN_IN_PATH } from './schema/wire.ts'
import { newNonce, sendPage } from './send-page.ts'
import { nothingHere, recognise } from './visitor.ts'

const A_YEAR = 'public, max-age=31536000, immutable'
const AN_HOUR = 'public, max-age=3600'

type Parts = Pick<PortalParts, 'identity' | 'desk' | 'role'> & { readonly assets: Assets; readonly publicUrl: URL }

export function applicationPages(app: App, { assets, publicUrl, ...known }: Parts): void {
  app.get('/*', { config: { policy: 'public' }, schema: { hide: true } }, async (request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '/'
    const application = await assets.application()
    const file = application?.files.get(path)
    if (file !== undefined) return sendFile(request, reply, file, path.startsWith('/assets/') ? A_YEAR : AN_HOUR)
    if (/^\/(assets|api|auth)(\/|$)|\.[a-z0-9]{1,8}$/i.test(path)) throw nothingHere()
    const visitor = await recognise(known, request)
    if (visitor === undefined) {
      const back = returnPath(request.url, publicUrl)
      return await reply.redirect(back === '/' ? SIGN_IN_PATH : `${SIGN_IN_PATH}?returnTo=${encodeURIComponent(back)}`)
    }
    return application === undefined ? notBuilt(reply) : sendApplication(reply, application)
  })
}

function sendApplication(reply: FastifyReply, { page }: Application): FastifyReply {
  const nonce = newNonce()
  return reply
    .header('content-security-policy', applicationPolicy(nonce))
    .type('text/html; charset=utf-8')
    .send(page.replaceAll('__NONCE__', nonce))
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: Asset, caching: string): FastifyReply {
  const isSmall = file.gzip !== undefined && /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
  const etag = `"${file.etag}${isSmall ? '-gz' : ''}"`
  void reply.headers({ 'cache-control': caching, etag, vary: 'accept-encoding' }).type(file.type)
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  if (isSmall) void reply.header('content-encoding', 'gzip')
  return reply.send(isSmall ? file.gzip : file.bytes)
}

const notBuilt = (reply: FastifyReply): FastifyReply =>
  sendPage(reply, 503, {
    title: 'The console has not been built',
    text: [
      'You are signed in, and the gateway runs. Its pages are missing: run this once in its folder, then reload.',
      'npm run build',
    ],
  })
