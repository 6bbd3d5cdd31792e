/** The web application's server side: every route, behind one guard, with one way to say no. */
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { Fault } from '../model/refusal.ts'
import { accessRoutes } from './access-routes.ts'
import { adminRoutes } from './admin-routes.ts'
import { applicationPages } from './application-pages.ts'
import { auditRoutes } from './audit-routes.ts'
import { Assets } from './assets.ts'
import { denial } from './deny.ts'
import { downloadRoutes } from './download-routes.ts'
import { EventStreams } from './event-streams.ts'
import { commonHeaders } from './headers.ts'
import { fileRoutes } from './file-routes.ts'
import { harmless, jsonOf } from './json.ts'
import { keptRoutes } from './kept-routes.ts'
import { Openings } from './openings.ts'
import { refusalPage } from './pages.ts'
import type { PortalParts } from './parts.ts'
import { passkeyRoutes } from './passkey-routes.ts'
import { personRoutes } from './person-routes.ts'
import { apiPolicies, isSafe } from './policy.ts'
import { API_BASE, CSRF_HEADER, SIGN_IN_PATH } from './schema/wire.ts'
import { recordingRoutes } from './recording-routes.ts'
import { sendPage } from './send-page.ts'
import { sessionRoutes } from './session-routes.ts'
import { signInPages } from './sign-in-pages.ts'
import { signInRoutes } from './sign-in-routes.ts'
import { createGuard, nothingHere } from './visitor.ts'
import { webOrigins, webRoutes } from './web-routes.ts'
import { webVisitRoutes } from './web-visit-routes.ts'

const BODY_BYTES = 64 * 1024
const LONGEST_PARAMETER = 256
const HEARTBEAT_MS = 15_000

export type App = FastifyInstance<
  FastifyInstance['server'],
  Parameters<FastifyInstance['routing']>[0],
  Parameters<FastifyInstance['routing']>[1],
  FastifyInstance['log'],
  ZodTypeProvider
>

/** `close` ends the event streams first. */
export function createApplication(parts: PortalParts): { readonly app: App; readonly endStreams: () => void } {
  const { identity, desk, library, role, settings, log, clock } = parts
  const publicUrl = new URL(settings.publicUrl)
  const streams = new EventStreams({ identity, log, heartbeatMs: settings.heartbeatMs ?? HEARTBEAT_MS })
  const common = commonHeaders(publicUrl)
  const webUrl = parts.web === undefined ? () => undefined : webOrigins(publicUrl, parts.web.domain)

  const deny = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const path = pathOf(request.url)
    const no = denial(error, `${request.method} ${path}`, log)
    void reply.code(no.status).headers(common)
    if (isApi(path)) return reply.type('application/json').serializer(jsonOf).send(no.body)
    return sendPage(
      reply,
      no.status,
      refusalPage(no, no.status === 401 || no.status === 403 ? SIGN_IN_PATH : undefined),
    )
  }

  const app: App = fastify({
    logger: false,
    trustProxy: false,
    bodyLimit: BODY_BYTES,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: LONGEST_PARAMETER },
    frameworkErrors: (error, request, reply) => void deny(error, request, reply),
  }).withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler<Parameters<typeof serializerCompiler>[0]['schema']>((route) => {
    const serialize = serializerCompiler(route)
    return (data) => harmless(serialize(data))
  })
  app.setErrorHandler(deny)
  app.setNotFoundHandler((request, reply) => deny(nothingHere(), request, reply))
  app.decorateRequest('visitor', undefined)
  app.decorateRequest('shown', undefined)
  readBodies(app)

  // Before any route is made: a route of the API that the table does not know stops the gateway from starting.
  app.addHook('onRoute', (route) => {
    if (!isApi(route.url)) return
    const policy = apiPolicies[`${String(route.method)} ${route.url}`]
    if (policy === undefined) throw new Fault(`no policy for ${String(route.method)} ${route.url}`)
    route.config = { ...route.config, policy }
  })
  app.addHook('onRequest', async (_, reply) => void reply.headers(common))
  app.addHook('onRequest', createGuard({ identity, desk, library, role, publicUrl }))
  app.addHook('preValidation', async (request) => {
    request.body ??= {}
  })
  app.addHook('onResponse', async (request, reply) => {
    const details = {
      method: request.method,
      path: pathOf(request.url),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
    }
    const isQuiet = isSafe(request.method) && reply.statusCode < 400
    log({ level: isQuiet ? 'debug' : 'info', room: 'portal', message: 'answered', details })
  })

  void app.register(swagger, { openapi: description(publicUrl), transform: jsonSchemaTransform })
  void app.register(
    async (api: App) => {
      api.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
      personRoutes(api, { identity, desk, settings, tokens: parts.tokens, terminals: parts.terminals, streams })
      accessRoutes(api, { desk, library, role, settings, webUrl })
      const openings = new Openings({ audit: parts.audit, clock })
      sessionRoutes(api, { desk, library, openings })
      recordingRoutes(api, { library, streams, openings })
      downloadRoutes(api, { desk, library, role, clock, log, openings })
      passkeyRoutes(api, { passkeys: parts.passkeys, clock })
      if (parts.web !== undefined) webVisitRoutes(api, { desk, sessions: parts.web.sessions, publicUrl, webUrl })
      auditRoutes(api, { library })
      if (parts.kept !== undefined) keptRoutes(api, parts.kept)
      if (parts.room !== undefined) adminRoutes(api, { desk, room: parts.room })
      signInRoutes(api, { identity, clock })
      const { terminals } = parts
      const { passkeys } = parts
      if (terminals !== undefined)
        void api.register(async (files: App) => fileRoutes(files, { identity, passkeys, terminals }))
    },
    { prefix: API_BASE },
  )
  void app.register(async (pages: App) => {
    signInPages(pages, { identity, clock, settings })
    if (parts.web !== undefined) webRoutes(pages, { identity, desk, role, settings, web: parts.web })
    applicationPages(pages, { identity, desk, role, assets: new Assets(settings.dist), publicUrl })
  })
  const deaf = desk.onChange(() => void streams.look())
  return {
    app,
    endStreams: () => {
      deaf()
      streams.close()
    },
  }
}

const isApi = (path: string): boolean => path === '/api' || path.startsWith('/api/')
const pathOf = (url: string): string => (url.split(/[?#]/, 1)[0] ?? '').slice(0, 200)

/** JSON only, so that no form of another site can be read; no body at all is fine. */
function readBodies(app: App): void {
  const json = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else void json(request, String(body), done)
  })
}

type DocumentStart = NonNullable<FastifyDynamicSwaggerOptions['openapi']>

const description = (publicUrl: URL): DocumentStart => ({
  openapi: '3.1.0',
  info: {
    title: 'Sallyport',
    version: '1',
    description:
      'Requests, approvals, grants, sessions and replay. Times are ISO 8601 in UTC. Every refusal is `{error: {code, message, next, reference}}`.',
  },
  servers: [{ url: publicUrl.origin }],
  components: {
    securitySchemes: {
      session: { type: 'apiKey', in: 'cookie', name: '__Host-sallyport' },
      token: { type: 'apiKey', in: 'header', name: CSRF_HEADER, description: 'On unsafe methods; from GET /me.' },
    },
  },
  security: [{ session: [], token: [] }],
})
