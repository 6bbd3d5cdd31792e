/** Where a channel goes: to a command of ours, to a target, or to the menu. Pure. */
import { readTargetName, type TargetName } from '../model/target-name.ts'
import { isCommand } from './commands/commands.ts'
import { firstWord } from './commands/words.ts'
import type { SessionRequest } from './engine/contract.ts'

export type Route =
  | { readonly to: 'menu' }
  | { readonly to: 'command'; readonly line: string }
  | { readonly to: 'target'; readonly place: TargetName; readonly request: SessionRequest }
  | { readonly to: 'nowhere'; readonly why: string }

/** `place` comes from the user name or from `ssh -J`; then everything is meant for it. Names of commands win over names of targets. */
export function routeOf(place: TargetName | undefined, request: SessionRequest): Route {
  if (place !== undefined) return { to: 'target', place, request }
  if (request.kind === 'shell') return { to: 'menu' }
  if (request.kind === 'sftp')
    return { to: 'nowhere', why: 'Say which target in the user name: sftp or scp with USER%TARGET@GATEWAY.' }
  const [first, rest] = firstWord(request.command)
  if (first === '') return { to: 'menu' }
  if (first === '--help' || first === '-h') return { to: 'command', line: 'help' }
  if (isCommand(first)) return { to: 'command', line: request.command }
  const named = readTargetName(first)
  if (named === undefined)
    return {
      to: 'nowhere',
      why: 'The first word must be a command of the gateway or the name of a target. Type `help`.',
    }
  return {
    to: 'target',
    place: named,
    request: rest.trim() === '' ? { kind: 'shell' } : { kind: 'exec', command: rest },
  }
}

/** Where a direct-tcpip request goes (RFC 4254 §7.2). */
export type TcpipRoute =
  /** `ssh -J gateway target`: the inner ssh is served by us. */
  | { readonly to: 'jump'; readonly host: string }
  /** `-L` through a target that the user name names. */
  | { readonly to: 'forward'; readonly place: TargetName }
  | { readonly to: 'nowhere'; readonly why: string }

export function tcpipRouteOf(place: TargetName | undefined, host: string, port: number): TcpipRoute {
  if (place !== undefined) return { to: 'forward', place }
  if (port === 22 && readTargetName(host) !== undefined) return { to: 'jump', host }
  return { to: 'nowhere', why: 'Forwarding goes through a target: use ssh -L with USER%TARGET@GATEWAY.' }
}
