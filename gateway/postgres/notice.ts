/** What a person in psql is told while their grant runs. */
import type { GrantNotice } from '../session/session.ts'

export function noticeText({ kind, minutes, grant }: GrantNotice): string {
  const left = `${minutes} minute${minutes === 1 ? '' : 's'}`
  return kind === 'ending'
    ? `Your grant ${grant.id} ends in ${left}; this session ends with it.`
    : `Your grant ${grant.id} was extended; ${left} are left.`
}
