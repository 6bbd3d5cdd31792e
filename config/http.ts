/** What a configuration may say about web targets and the roles that open them. */
import { existsSync, readFileSync } from 'node:fs'
import { z } from 'zod'
import { name, secretRef } from './words.ts'

const origin = z.url().refine((text) => {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && (text === url.origin || text === `${url.origin}/`)
}, 'give an origin: http(s)://host:port, without path and login')

/** Named by its file and used by its content. */
const certificateFile = z.string().transform((path, context) => {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  context.addIssue({ code: 'custom', message: `${path} is no file with a certificate (PEM)` })
  return z.NEVER
})

const headerName = z.string().regex(/^[a-z0-9-]+\*?$/, 'a header name in lower case; * at the end for any ending')

export const httpEndpoint = z
  .strictObject({
    url: origin,
    /** Reached through this agent, whose own settings say where that is; `url` is then what the application is called there. */
    agent: name.optional(),
    ca: certificateFile.optional(),
    client_certificate: z.strictObject({ certificate: certificateFile, key: secretRef }).optional(),
    basic: z.strictObject({ username: z.string().regex(/^[^:]+$/), password: secretRef }).optional(),
    bearer: secretRef.optional(),
    host_header: z.enum(['public', 'target']).default('public'),
    identity_headers: z.boolean().default(false),
    request_headers: z.array(headerName).default([]),
    origins: z.array(origin).default([]),
    encoded_slashes: z.boolean().default(false),
  })
  .refine((e) => e.basic === undefined || e.bearer === undefined, { message: 'give at most one of basic and bearer' })
  .refine((e) => e.url.startsWith('https:') || (e.ca === undefined && e.client_certificate === undefined), {
    message: 'ca and client_certificate need an https url',
  })
  .transform((e) => ({
    url: new URL(e.url).origin,
    agent: e.agent,
    ca: e.ca,
    certificate: e.client_certificate,
    credential:
      e.basic !== undefined
        ? ({ kind: 'basic', ...e.basic } as const)
        : e.bearer !== undefined
          ? ({ kind: 'bearer', token: e.bearer } as const)
          : undefined,
    hostHeader: e.host_header,
    identityHeaders: e.identity_headers,
    requestHeaders: e.request_headers,
    origins: e.origins.map((text) => new URL(text).origin),
    encodedSlashes: e.encoded_slashes,
  }))

const pathPattern = z
  .string()
  .regex(
    /^\/[\w\-.~!$&'()+,;=:@/*]*$/,
    'a path begins with / and is written without escapes; * is part of a segment, ** is anything',
  )

export const httpScope = z
  .strictObject({
    mode: z.enum(['read-only', 'read-write']).default('read-only'),
    methods: z.array(z.string().regex(/^[A-Z]+$/, 'methods are written in capitals')).default([]),
    paths: z.array(pathPattern).default([]),
    deny_paths: z.array(pathPattern).default([]),
    websocket: z.boolean().default(false),
    max_request_megabytes: z.number().positive().default(100),
    record_query: z.enum(['full', 'names', 'none']).default('full'),
    record_body_kilobytes: z.int().min(0).max(1024).default(0),
    record_frames: z.boolean().default(false),
  })
  .transform((s) => ({
    mode: s.mode,
    methods: s.methods,
    paths: s.paths,
    denyPaths: s.deny_paths,
    websocket: s.websocket,
    maxRequestBytes: Math.round(s.max_request_megabytes * 2 ** 20),
    record: { query: s.record_query, bodyBytes: s.record_body_kilobytes * 1024, frames: s.record_frames },
  }))
