/** Spans and moments as people type and read them: `90s`, `30m`, `1h30m`, `until 17:00`. */
import { after, type Moment } from '../../model/moment.ts'

const SPAN = /^(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?$/

/** Minutes, or undefined when the text is no span or an empty one. */
export function minutesOf(text: string): number | undefined {
  const found = SPAN.exec(text)
  if (found === null || text === '') return undefined
  const [days, hours, minutes, seconds] = found.slice(1).map((part) => Number(part ?? 0))
  const total = (days ?? 0) * 1440 + (hours ?? 0) * 60 + (minutes ?? 0) + (seconds ?? 0) / 60
  return total > 0 ? total : undefined
}

/** `45s`, `30m`, `1h30m`: the largest two units, rounded up so that "0m left" is never said of a live grant. */
export function spanOf(ms: number): string {
  if (ms <= 0) return '0s'
  if (ms < 60_000) return `${Math.ceil(ms / 1000)}s`
  const minutes = Math.ceil(ms / 60_000)
  const hours = Math.floor(minutes / 60)
  const days = Math.floor(hours / 24)
  if (days > 0) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`
  if (hours === 0) return `${minutes}m`
  return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`
}

const two = (n: number): string => String(n).padStart(2, '0')

/** Wall time of the gateway, with the date when it is another day. */
export function clockTime(moment: Moment, now: Moment): string {
  const date = new Date(moment)
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`
  return date.toDateString() === new Date(now).toDateString()
    ? time
    : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`
}

/** A span that lies behind us, or a date: `2h`, `2026-11-20`, `2026-11-20T08:00`. */
export function sinceOf(text: string, now: Moment): Moment | undefined {
  const minutes = minutesOf(text)
  if (minutes !== undefined) return after(now, -minutes * 60_000)
  if (!/^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2})?)?$/.test(text)) return undefined
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : (at as Moment)
}
