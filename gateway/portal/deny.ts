/** A "no" in the words of HTTP: status, code, sentence, next step, reference. */
import { randomBytes } from 'node:crypto'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import type { Log } from '../model/log.ts'
import { Fault, Refusal } from '../model/refusal.ts'
import type { ApiError } from './schema/wire.ts'

export type Denial = { readonly status: number; readonly body: ApiError }

/** Turns whatever was thrown into an answer, and tells the log under the reference that the person sees. */
export function denial(error: unknown, where: string, log: Log): Denial {
  const reference = error instanceof Fault ? error.reference : randomBytes(4).toString('hex')
  const refusal = error instanceof Refusal ? { status: error.wire.status, refusal: error } : wrongInput(error)
  if (refusal === undefined) {
    log({ level: 'error', room: 'portal', message: 'a call failed', details: { reference, where }, error })
    return {
      status: 500,
      body: answer(
        'FAULT',
        'The gateway could not do this.',
        'Try again. If it stays so, tell an operator the reference.',
        reference,
      ),
    }
  }
  const { status, refusal: why } = refusal
  log({ level: 'info', room: 'portal', message: 'refused', details: { reference, where, code: why.code } })
  return { status, body: answer(why.code, why.message, why.next ?? null, reference) }
}

const answer = (code: string, message: string, next: string | null, reference: string): ApiError => ({
  error: { code, message, next, reference },
})

/** What fastify refused before we saw it: too large, not JSON, not what the schema says. */
function wrongInput(error: unknown): { readonly status: number; readonly refusal: Refusal } | undefined {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [first] = error.validation
    const path = (first?.instancePath ?? '').split('/').filter(Boolean)
    const where = [error.validationContext ?? 'input', ...path].join('.')
    return { status: 400, refusal: new Refusal('BAD_INPUT', `${where}: ${first?.message ?? 'not allowed'}.`) }
  }
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  if (typeof status !== 'number' || status < 400 || status > 499) return undefined
  return { status, refusal: new Refusal('BAD_INPUT', FASTIFY_WORDS[status] ?? 'The gateway cannot read this call.') }
}

const FASTIFY_WORDS: Readonly<Record<number, string>> = {
  408: 'The call took too long to arrive.',
  413: 'The call is larger than 64 KiB.',
  414: 'The address is too long.',
  415: 'The gateway reads application/json here.',
}
