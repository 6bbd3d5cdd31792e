/**
 * The first packets of a PostgreSQL connection, and which of their parameters go on to a target.
 * Nothing a client sends here may undo what the gateway sets for the session.
 */
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { Role } from '../model/role.ts'
import { cstring, FieldReader, int32 } from './message.ts'
import { isBound } from './tripwire.ts'

/** PostgreSQL's own limit (MAX_STARTUP_PACKET_LENGTH). */
export const MAX_STARTUP = 10_000
const SSL_REQUEST = 80877103
const GSSENC_REQUEST = 80877104
const CANCEL_REQUEST = 80877102

export type StartupPacket =
  | { readonly type: 'ssl' | 'gssenc' }
  | { readonly type: 'cancel'; readonly processId: number; readonly key: Buffer }
  | {
      readonly type: 'startup'
      readonly parameters: ReadonlyMap<string, string>
      /** The client wants a newer minor version or protocol options: it must be told what it gets. */
      readonly negotiate: readonly string[] | undefined
    }

/** @param body without the length. @throws {MalformedMessage}, {Refusal} for another major version. */
export function readStartupPacket(body: Buffer): StartupPacket {
  if (body.length < 4) throw new MalformedMessage('start-up packet')
  const code = body.readInt32BE(0)
  switch (code) {
    case SSL_REQUEST:
    case GSSENC_REQUEST:
      if (body.length !== 4) throw new MalformedMessage('start-up packet')
      return { type: code === SSL_REQUEST ? 'ssl' : 'gssenc' }
    case CANCEL_REQUEST:
      if (body.length < 12 || body.length > 8 + 256) throw new MalformedMessage('cancel request')
      return { type: 'cancel', processId: body.readInt32BE(4), key: Buffer.from(body.subarray(8)) }
  }
  if (code >>> 16 !== 3)
    throw new Refusal('BAD_INPUT', `Protocol ${code >>> 16}.${code & 0xffff} is not spoken here; 3.0 is.`)
  const all = readParameters(body)
  const options = [...all.keys()].filter((name) => name.startsWith('_pq_.'))
  for (const name of options) all.delete(name)
  const negotiate = (code & 0xffff) > 0 || options.length > 0 ? options : undefined
  return { type: 'startup', parameters: all, negotiate }
}

/** Names in lower case: the server does not tell them apart either, and two of one name could be read in two ways. */
function readParameters(body: Buffer): Map<string, string> {
  const fields = new FieldReader(body, 4)
  const parameters = new Map<string, string>()
  for (let name = fields.string(); name !== ''; name = fields.string()) {
    const key = name.toLowerCase()
    if (parameters.has(key)) throw new MalformedMessage('a start-up parameter comes twice')
    parameters.set(key, fields.string())
  }
  fields.end()
  return parameters
}

export const sslRequest = (): Buffer => Buffer.concat([int32(8), int32(SSL_REQUEST)])

export const cancelRequest = (processId: number, key: Buffer): Buffer =>
  Buffer.concat([int32(12 + key.length), int32(CANCEL_REQUEST), int32(processId), key])

export function startupMessage(parameters: ReadonlyMap<string, string>): Buffer {
  const pairs = [...parameters].flatMap(([name, value]) => [cstring(name), cstring(value)])
  const body = Buffer.concat([int32(3 << 16), ...pairs, Buffer.from([0])])
  return Buffer.concat([int32(body.length + 4), body])
}

/** Settings that change how results look or how long things may take, and nothing else. */
const HARMLESS = new Set(
  'application_name datestyle timezone intervalstyle extra_float_digits client_min_messages bytea_output jit'.split(
    ' ',
  ),
)
const TIMEOUT = /^(statement|lock|idle_in_transaction_session|idle_session)_timeout$/
/** What says who somebody is on the target; only the gateway does. */
const NEVER = new Set(['role', 'session_authorization', 'replication', 'user', 'database'])

/**
 * The parameters for the target: the client's own as far as the role permits, then the gateway's, which win.
 *
 * @throws {Refusal} BAD_INPUT for what is not permitted: silence would give the person a session they did not ask for.
 */
export function targetParameters(client: ReadonlyMap<string, string>, role: Role): Map<string, string> {
  const { mode, statementTimeoutMs } = role.postgres
  const wanted = new Map<string, string>()
  for (const [name, value] of client) {
    if (name === 'user' || name === 'database') continue
    if (name === 'replication') refuseReplication(value)
    else if (name === 'client_encoding') refuseEncoding(value)
    else if (name === 'options') for (const [key, text] of readOptions(value)) wanted.set(key, text)
    else wanted.set(name, value)
  }
  for (const [name, value] of wanted)
    if (!isPermitted(name, value, mode) || (isBound(role) && name === 'standard_conforming_strings' && value !== 'on'))
      throw new Refusal('BAD_INPUT', `The start-up parameter "${name}" is not permitted here.`, {
        next: mode === 'read-only' ? 'Leave it out; a read-only session keeps its settings.' : 'Leave it out.',
      })
  wanted.set('client_encoding', 'UTF8')
  if (statementTimeoutMs > 0 && !isShorter(wanted.get('statement_timeout'), statementTimeoutMs))
    wanted.set('statement_timeout', `${statementTimeoutMs}`)
  if (mode === 'read-only') wanted.set('default_transaction_read_only', 'on')
  if (isBound(role)) wanted.set('standard_conforming_strings', 'on')
  return wanted
}

/** How the session's texts read dates and times. */
const READING = ['TimeZone', 'DateStyle', 'IntervalStyle']

/** For a session beside this one that may write: as it began, and as it reads dates and times now. */
export function writerParameters(
  parameters: ReadonlyMap<string, string>,
  reported: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const wanted = new Map(parameters)
  for (const name of ['default_transaction_read_only', ...READING.map((name) => name.toLowerCase())])
    wanted.delete(name)
  for (const name of READING) wanted.set(name, reported.get(name) ?? '')
  return new Map([...wanted].filter(([, value]) => value !== ''))
}

function isPermitted(name: string, value: string, mode: 'read-only' | 'read-write'): boolean {
  if (!/^[a-z_][a-z0-9_.$]{0,62}$/.test(name) || NEVER.has(name)) return false
  if (mode === 'read-write' || HARMLESS.has(name)) return true
  if (name === 'default_transaction_read_only') return /^(on|true|yes|1)$/i.test(value)
  return TIMEOUT.test(name) && /^[1-9]\d{0,8}(ms|s|min|h)?$/.test(value)
}

const isShorter = (text: string | undefined, most: number): boolean =>
  text !== undefined && /^[1-9]\d*$/.test(text) && Number(text) <= most

function refuseReplication(value: string): void {
  if (!/^(false|off|no|0)$/i.test(value))
    throw new Refusal('BAD_INPUT', 'Replication connections do not go through the gateway.')
}

/** psql under LANG=C says SQL_ASCII, which asks for no conversion: UTF8 is what it then gets from a UTF8 database. */
function refuseEncoding(value: string): void {
  if (!/^'?(utf-?8|unicode|auto|sql_ascii)'?$/i.test(value))
    throw new Refusal('BAD_INPUT', `client_encoding ${value.slice(0, 40)} is not spoken here.`, {
      next: 'Set PGCLIENTENCODING=UTF8.',
    })
}

/** The command line in `options`, by the server's own rules (pg_split_opts): blanks part words, a backslash keeps what follows. */
function readOptions(text: string): readonly (readonly [string, string])[] {
  const words = [...text.matchAll(/(?:\\.|[^\s\\])+/gs)].map(([word]) => word.replaceAll(/\\(.)/gs, '$1'))
  const settings: [string, string][] = []
  for (let i = 0; i < words.length; i++) {
    let word = words[i] ?? ''
    if (word === '-c') {
      i += 1
      word = `--${words[i] ?? ''}`
    } else if (word.startsWith('-c')) word = `--${word.slice(2)}`
    const [, name, value] = /^--([A-Za-z_][A-Za-z0-9_.-]*)=(.*)$/s.exec(word) ?? []
    if (name === undefined || value === undefined)
      throw new Refusal('BAD_INPUT', 'Only settings (-c name=value) are permitted in the start-up options.')
    settings.push([name.toLowerCase().replaceAll('-', '_'), value])
  }
  return settings
}
