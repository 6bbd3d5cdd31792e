/** Where a channel goes: to a command of ours, to a target, or to the menu. Pure. */
import { isName } from './auth-name.ts'
import { isCommand } from './commands/commands.ts'
import { firstWord } from './commands/words.ts'
import type { SessionRequest } from './engine/contract.ts'

export type Route =
  | { readonly to: 'menu' }
  | { readonly to: 'command'; readonly line: string }
  | { readonly to: 'target'; readonly target: string; readonly request: SessionRequest }
  | { readonly to: 'nowhere'; readonly why: string }

/** `target` comes from the user name or from `ssh -J`; then everything is meant for it. Names of commands win over names of targets. */
export function routeOf(target: string | undefined, request: SessionRequest): Route {
  if (target !== undefined) return { to: 'target', target, request }
  if (request.kind === 'shell') return { to: 'menu' }
  if (request.kind === 'sftp')
    return { to: 'nowhere', why: 'Say which target in the user name: sftp or scp with USER%TARGET@GATEWAY.' }
  const [first, rest] = firstWord(request.command)
  if (first === '') return { to: 'menu' }
  if (first === '--help' || first === '-h') return { to: 'command', line: 'help' }
  if (isCommand(first)) return { to: 'command', line: request.command }
  if (!isName(first))
    return {
      to: 'nowhere',
      why: 'The first word must be a command of the gateway or the name of a target. Type `help`.',
    }
  return {
    to: 'target',
    target: first,
    request: rest.trim() === '' ? { kind: 'shell' } : { kind: 'exec', command: rest },
  }
}

/** Where a direct-tcpip request goes (RFC 4254 §7.2). */
export type TcpipRoute =
  /** `ssh -J gateway target`: the inner ssh is served by us. */
  | { readonly to: 'jump'; readonly target: string }
  /** `-L` through a target that the user name names. */
  | { readonly to: 'forward'; readonly target: string }
  | { readonly to: 'nowhere'; readonly why: string }

export function tcpipRouteOf(target: string | undefined, host: string, port: number): TcpipRoute {
  if (target !== undefined) return { to: 'forward', target }
  if (port === 22 && isName(host)) return { to: 'jump', target: host }
  return { to: 'nowhere', why: 'Forwarding goes through a target: use ssh -L with USER%TARGET@GATEWAY.' }
}
