/** Sends a plain page under its own policy. */
import { randomBytes } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { pagePolicy } from './headers.ts'
import { html, type Page } from './pages.ts'

/** New for every answer. */
export const newNonce = (): string => randomBytes(16).toString('base64')

export function sendPage(reply: FastifyReply, status: number, page: Page): FastifyReply {
  const nonce = newNonce()
  return reply
    .code(status)
    .header('content-security-policy', pagePolicy(nonce))
    .type('text/html; charset=utf-8')
    .send(html(page, nonce))
}
