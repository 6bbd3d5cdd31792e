/** A session keyring of its own for each program in a workspace: the kernel hands the agent's on, and with it whatever keys lie in there. */
import { existsSync } from 'node:fs'

/** keyctl(2), by the number that each machine gives it. No program of util-linux knows it. */
const KEYCTL: Readonly<Record<string, number>> = { x64: 250, arm64: 219 }
const PERL = '/usr/bin/perl'
const JOIN_SESSION_KEYRING = 1
/** There are no keyrings here, or nobody may have to do with them: then nobody inside may, either. */
const NONE = 'EPERM ENOSYS'

/** What stands before a program. Empty where this host has no perl: then it has the agent's keyring, which is empty under systemd. */
export function ownKeyring(): readonly string[] {
  const keyctl = KEYCTL[process.arch]
  if (keyctl === undefined || !existsSync(PERL)) return []
  const join = `syscall(${keyctl}, ${JOIN_SESSION_KEYRING}, 0) >= 0`
  const none = `grep { $!{$_} } qw(${NONE})`
  return [PERL, '-MErrno', '-e', `${join} or ${none} or die "no keyring: $!\\n"; exec { $ARGV[0] } @ARGV or exit 127`]
}
