/** The command that a target is really sent: a shell of known kind, an environment of known content, and the line that was judged. */
import type { ShellJudge } from './judge.ts'

/**
 * Directories that only the administrator of the host can write; pagers and start-up files off.
 * What stands in the account's own settings was perhaps put there in an earlier session.
 */
const ENVIRONMENT = [
  'unset LESSOPEN LESSCLOSE LESS CDPATH ENV BASH_ENV GREP_OPTIONS',
  'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin',
  'export PAGER=cat MANPAGER=cat SYSTEMD_PAGER= LESSSECURE=1 LESSHISTFILE=-',
].join('; ')

/** Any login shell can read it: it does no more than start another. */
export const targetLine = (line: string, judge: Pick<ShellJudge, 'quote'>): string =>
  `exec /bin/sh -c ${judge.quote(`${ENVIRONMENT}; ${line}`)}`
