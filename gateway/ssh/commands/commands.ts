/** All commands of the ssh command line, by name. */

/** First words that are ours: a target of such a name could never be reached. */
export const reservedWords: readonly string[] = [
  'help',
  'whoami',
  'targets',
  'roles',
  'request',
  'requests',
  'approve',
  'deny',
  'withdraw',
  'grants',
  'extend',
  'release',
  'revoke',
  'lock',
  'unlock',
  'sessions',
  'replay',
  'watch',
  'kill',
  'logout',
  'ssh-config',
  'explain-role',
]
