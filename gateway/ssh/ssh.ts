/** Front door: the SSH terminator, its engine, and the words that no target may be called. */
export type { Connection, Engine } from './engine/contract.ts'
export { reservedWords } from './commands/commands.ts'
export { createSshTerminator, type SshDoor, type SshTerminator } from './terminator.ts'
export type { SshParts, SshSettings } from './parts.ts'
