/** What a session channel asks for before it starts: terminal, environment, program. Everything has its limit. */
import { MalformedMessage } from '../../model/refusal.ts'
import type { SessionRequest, Terminal } from './contract.ts'
import { type Reader, string, uint32 } from './wire.ts'

const MAX_COMMAND = 32 * 1024
const MAX_SIDE = 10_000
const MAX_VARIABLES = 64
const VARIABLE = /^(LANG|LC_[A-Z]+|TERM|COLORTERM)$/
/** Of RFC 4254 §6.10. */
const SIGNALS = /^(ABRT|ALRM|FPE|HUP|ILL|INT|KILL|PIPE|QUIT|SEGV|TERM|USR1|USR2)$/

/** RFC 4254 §6.2. ssh2 1.17.0 loses the modes; here they go on as they came. */
export function readTerminal(body: Reader): Terminal {
  const type = body.text(256)
  if (!/^[A-Za-z0-9._+-]{0,64}$/.test(type)) throw new MalformedMessage('A terminal type that is none.')
  const size = readSize(body)
  const modes = Buffer.from(body.string(1024))
  return { type, ...size, modes }
}

export function readSize(body: Reader): Omit<Terminal, 'type' | 'modes'> {
  const side = () => body.uint32()
  return sizeOf({ columns: side(), rows: side(), widthPixels: side(), heightPixels: side() })
}

/** Not larger than any screen is. */
export const sizeOf = (size: Omit<Terminal, 'type' | 'modes'>): Omit<Terminal, 'type' | 'modes'> => ({
  columns: Math.min(size.columns, MAX_SIDE),
  rows: Math.min(size.rows, MAX_SIDE),
  widthPixels: Math.min(size.widthPixels, MAX_SIDE),
  heightPixels: Math.min(size.heightPixels, MAX_SIDE),
})

export const writeSize = (terminal: Terminal): Buffer =>
  Buffer.concat([terminal.columns, terminal.rows, terminal.widthPixels, terminal.heightPixels].map(uint32))

export const writeTerminal = (terminal: Terminal): Buffer =>
  Buffer.concat([string(terminal.type), writeSize(terminal), string(terminal.modes)])

/** True when the variable was taken. Others are refused, as sshd does. */
export function readVariable(environment: Map<string, string>, body: Reader): boolean {
  const name = body.text(256)
  const value = body.text(4096)
  if (!VARIABLE.test(name) || hasControls(value) || environment.size >= MAX_VARIABLES) return false
  environment.set(name, value)
  return true
}

const hasControls = (text: string): boolean => Buffer.from(text).some((code) => code < 0x20)

/** Undefined: not offered. */
export function readRequest(type: string, body: Reader): SessionRequest | undefined {
  if (type === 'shell') return { kind: 'shell' }
  if (type === 'subsystem') return body.text(64) === 'sftp' ? { kind: 'sftp' } : undefined
  const command = body.text(MAX_COMMAND)
  if (command.includes('\0')) throw new MalformedMessage('A command with a NUL in it.')
  return { kind: 'exec', command }
}

export function readSignal(body: Reader): string | undefined {
  const name = body.text(32)
  return isSignal(name) ? name : undefined
}

export const isSignal = (name: string): boolean => SIGNALS.test(name)
