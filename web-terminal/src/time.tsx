/** Times in the viewer's zone with UTC on hover, spans in words, clocks that run. */
import { Text } from '@mantine/core'
import { useNow } from './desk.tsx'
import { words } from './strings/strings.ts'

const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const dayAndYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' })
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
const exact = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'short' })

const utc = (iso: string): string => `${iso.slice(0, 19).replace('T', ' ')} UTC`

/** `14:03` today, `19 Nov, 14:03` before. */
export function Moment({
  at,
  seconds = false,
}: {
  readonly at: string
  readonly seconds?: boolean
}): React.JSX.Element {
  const date = new Date(at)
  const now = new Date(useNow(60_000))
  const time = (seconds ? exact : clock).format(date)
  const today = date.toDateString() === now.toDateString()
  const label = today ? time : `${(date.getFullYear() === now.getFullYear() ? day : dayAndYear).format(date)}, ${time}`
  return (
    <time dateTime={at} title={utc(at)} className="nowrap">
      {label}
    </time>
  )
}

/** `3 min ago`. */
export function Ago({ at }: { readonly at: string }): React.JSX.Element {
  const now = useNow(10_000)
  const seconds = Math.round((Date.parse(at) - now) / 1000)
  const size = Math.abs(seconds)
  const label =
    size < 45
      ? words.time.justNow
      : size < 3600
        ? relative.format(Math.round(seconds / 60), 'minute')
        : size < 86_400
          ? relative.format(Math.round(seconds / 3600), 'hour')
          : relative.format(Math.round(seconds / 86_400), 'day')
  return (
    <time dateTime={at} title={`${exact.format(new Date(at))} · ${utc(at)}`} className="nowrap">
      {label}
    </time>
  )
}

const two = (value: number): string => String(value).padStart(2, '0')

/** `1:02:03` or `4:05`. */
export function spanClock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const minutes = Math.floor(whole / 60) % 60
  const hours = Math.floor(whole / 3600)
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}

export function minutesWords(minutes: number): string {
  if (minutes < 60) return words.time.minutes(minutes)
  const rest = minutes % 60
  const hours = words.time.hours(Math.floor(minutes / 60))
  return rest === 0 ? hours : `${hours} ${words.time.minutes(rest)}`
}

/** What is left of a grant, by the gateway's clock; a bar that shrinks; a warning colour near the end. */
export function TimeLeft(props: {
  readonly from: string
  readonly until: string
  readonly size?: 'sm' | 'lg'
}): React.JSX.Element {
  const now = useNow(1000)
  const end = Date.parse(props.until)
  const left = Math.max(0, end - now)
  const share = Math.min(1, left / Math.max(1, end - Date.parse(props.from)))
  const urgent = left < 5 * 60_000
  return (
    <div className="time-left" data-urgent={urgent} title={words.time.endsAt(utc(props.until))}>
      <Text component="span" className="tabular" fw={650} size={props.size === 'lg' ? '1.75rem' : 'sm'} lh={1.1}>
        {left === 0 ? words.time.over : spanClock(Math.ceil(left / 1000))}
      </Text>{' '}
      <Text component="span" size="xs" c="var(--quiet)">
        {left === 0 ? '' : words.time.left} · {words.time.until} {clock.format(end)}
      </Text>
      <div className="time-bar" aria-hidden="true">
        <div style={{ width: `${share * 100}%` }} />
      </div>
    </div>
  )
}
