/**
 * The words of the web terminal: a WebSocket at {@link TERMINAL_PATH}, and files over {@link FILE_PATH}.
 *
 * Binary messages are bytes of the terminal, both ways; everything else is JSON text, one object a message.
 * Positions count bytes of output (or of input) from the shell's first one: a page says what it has drawn, and asks for the rest when it comes back.
 * The first message of a page is a {@link terminalHello} with the token of `GET /me`.
 */
import { z } from 'zod'
import { confirmation } from './passkeys.ts'
import { grantId, name, time, under } from './wire.ts'

export const TERMINAL_PATH = '/api/v1/terminal'
export const FILE_PATH = '/api/v1/terminal/file'
/** How large a file is, as far as the target says. It may grow while it is read. */
export const FILE_SIZE_HEADER = 'x-sallyport-file-size'

/** Bytes of input that may be on their way: a page waits for `taken` before it sends more. */
export const INPUT_WINDOW = 128 * 1024
/** Largest message of a page. */
export const MOST_MESSAGE = 64 * 1024

const side = z.int().min(1).max(1000)
const position = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const size = { columns: side, rows: side }
const csrf = z.string().min(1).max(200)

export const terminalHello = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('open'),
    csrf,
    target: name,
    under: under.optional(),
    confirmation: confirmation.optional(),
    ...size,
  }),
  z.strictObject({
    kind: z.literal('back'),
    csrf,
    shell: z.string().regex(/^\d{1,6}\.[\w-]{12}\.[\w-]{43}$/),
    /** The first byte of output that the page does not have; left out: it has nothing. */
    from: position.optional(),
    ...size,
  }),
])

export const fromPage = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('drawn'), bytes: position }),
  z.strictObject({ kind: z.literal('resize'), ...size }),
  z.strictObject({ kind: z.literal('signal'), name: z.string().regex(/^[A-Z0-9]{1,10}$/) }),
  z.strictObject({ kind: z.literal('leave') }),
  /** Answered with the same: the line is alive. */
  z.strictObject({ kind: z.literal('beat') }),
])

export const toPage = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('opened'),
    /** Brings this browser back to the shell; a secret. */
    shell: z.string(),
    grant: grantId,
    role: z.string(),
    expiresAt: time,
    /** The next output is from here; up to `drawn` it was on a screen before. */
    at: position,
    drawn: position,
    /** So much input has arrived. */
    arrived: position,
  }),
  z.strictObject({ kind: z.literal('taken'), bytes: position }),
  z.strictObject({ kind: z.literal('notice'), text: z.string(), expiresAt: time.nullable() }),
  z.strictObject({ kind: z.literal('moved') }),
  z.strictObject({
    kind: z.literal('ended'),
    cause: z.enum(['closed', 'exited', 'cut', 'failed', 'refused']),
    text: z.string(),
    exitCode: z.int().nullable(),
  }),
  z.strictObject({
    kind: z.literal('refused'),
    code: z.string(),
    text: z.string(),
    next: z.string().nullable(),
  }),
  z.strictObject({ kind: z.literal('beat') }),
])

const fileAsk = { target: name, under: under.optional(), path: z.string().min(1).max(4096) }
export const downloadQuery = z.strictObject(fileAsk)
export const uploadQuery = z.strictObject({ ...fileAsk, replace: z.literal('1').optional() })
export const transferred = z.strictObject({ path: z.string(), bytes: position, sha256: z.string() })

export type TerminalHello = z.infer<typeof terminalHello>
export type FromPage = z.infer<typeof fromPage>
export type ToPage = z.infer<typeof toPage>
export type Transferred = z.infer<typeof transferred>
