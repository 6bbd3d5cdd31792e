/** Files between the browser and a target, as streams: nothing of them is kept here. */
import type { Readable } from 'node:stream'
import { Refusal } from '../model/refusal.ts'
import type { Terminals } from '../session/session.ts'
import type { App } from './application.ts'
import { takesLong } from './listener.ts'
import type { PortalParts } from './parts.ts'
import { confirmation, CONFIRMATION_HEADER } from './schema/passkeys.ts'
import * as words from './schema/terminal.ts'
import { answers, streams } from './shapes.ts'
import { guestOf } from './page-sockets.ts'
import { touched } from './touched.ts'
import { choiceOf } from './views.ts'
import { visitorOf } from './visitor.ts'

/** Nothing came for so long: the browser is gone, or holds a session open for nothing. */
const STALLED_MS = 60_000
const BINARY = 'application/octet-stream'
const LIKE_SFTP = `Judged and recorded as sftp is. Each is a session: a role that asks for a passkey wants \`${CONFIRMATION_HEADER}\`.`

type Parts = Pick<PortalParts, 'identity' | 'passkeys'> & { readonly terminals: Terminals }
type Asking = Parameters<typeof visitorOf>[0]

export function fileRoutes(app: App, { identity, passkeys, terminals }: Parts): void {
  // The stream itself, for these routes alone: whoever takes it reads it.
  app.addContentTypeParser(BINARY, (_request, payload, done) => done(null, payload))
  const guest = (request: Asking) => {
    const { address, cookie, session } = visitorOf(request)
    return guestOf(identity, { cookie, session, address, headers: request.headers })
  }

  const placeOf = async (
    request: Asking,
    { target, under }: { readonly target: string; readonly under?: string | undefined },
  ) => {
    const { data } = confirmation.safeParse(request.headers[CONFIRMATION_HEADER])
    const passkey = await touched(passkeys, visitorOf(request).identity, target, data)
    return { target, under: choiceOf(under), passkey }
  }

  app.route({
    method: 'PUT',
    url: '/terminal/file',
    schema: {
      summary: 'Write one file on a target',
      description: `The body is the file, as ${BINARY}. ${LIKE_SFTP}`,
      tags: ['terminal'],
      querystring: words.uploadQuery,
      response: answers(words.transferred),
    },
    handler: async (request) => {
      const { path, replace } = request.query
      if (!isStream(request.body)) throw new Refusal('BAD_INPUT', `Send the file as ${BINARY}.`)
      takesLong(request.raw)
      const gone = new AbortController()
      const bytes = request.body
      const stalled = setTimeout(() => bytes.destroy(new Error('nothing came any more')), STALLED_MS)
      bytes.on('data', () => stalled.refresh())
      bytes.pause()
      bytes.once('error', () => gone.abort(new Error('the browser left')))
      bytes.once('close', () => {
        if (!bytes.readableEnded) gone.abort(new Error('the browser left'))
      })
      try {
        return await terminals.upload(
          guest(request),
          { ...(await placeOf(request, request.query)), path, replace: replace === '1' },
          bytes,
          gone.signal,
        )
      } finally {
        clearTimeout(stalled)
        if (!bytes.readableEnded) drain(bytes)
      }
    },
  })

  app.route({
    method: 'GET',
    url: '/terminal/file',
    schema: {
      summary: 'Read one file of a target',
      description: LIKE_SFTP,
      tags: ['terminal'],
      querystring: words.downloadQuery,
      response: streams(BINARY, 'The file'),
    },
    handler: async (request, reply) => {
      const { path } = request.query
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort(new Error('the browser left')))
      const place = await placeOf(request, request.query)
      const { bytes, name, size } = await terminals.download(guest(request), { ...place, path }, gone.signal)
      if (size !== undefined) void reply.header(words.FILE_SIZE_HEADER, size)
      void reply.header('content-disposition', attachment(name)).type(BINARY)
      return await reply.send(bytes)
    },
  })
}

/** The rest of what was refused: until it has gone by, the connection carries no answer to anything else. */
function drain(bytes: Readable): void {
  const late = setTimeout(() => bytes.destroy(), STALLED_MS)
  bytes.once('close', () => clearTimeout(late))
  bytes.resume()
}

const isStream = (body: unknown): body is Readable =>
  typeof body === 'object' && body !== null && 'pipe' in body && 'destroy' in body

/** RFC 6266: plain letters for old readers, UTF-8 for the others. No name can become a path or a second header. */
function attachment(name: string): string {
  const safe = name.replace(/[\p{C}/\\]/gu, '_').slice(0, 200)
  const plain = safe.replace(/[^\w.-]/g, '_').replace(/^\.+/, '_')
  const encoded = encodeURIComponent(safe).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}
