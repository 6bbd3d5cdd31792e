/** Front door: the SSH terminator, its engine, and the words that no target may be called. */
export { type BrowserShells, createBrowserShells } from './browser/browser-shells.ts'
export { reservedWords } from './commands/commands.ts'
export type { Connection, Engine } from './engine/contract.ts'
export { ensureKeys } from './engine/authority.ts'
export { createEngine, type EngineParts } from './engine/engine.ts'
export { keptDesk } from './kept-changes.ts'
export { DEFAULTS, type SshParts, type SshSettings } from './parts.ts'
export { createSshTerminator, type SshDoor, type SshTerminator } from './terminator.ts'
