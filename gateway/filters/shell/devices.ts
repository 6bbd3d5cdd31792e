/** Devices that never end, that block, or that change when they are read: refused wherever a program would read them. */
import { hasGlob, Refused, textOf, type Word } from './words.ts'

const ENDLESS =
  /^\/(?:dev\/(?:zero|full|u?random|hwrng|kmsg|console|tty\w*|ptmx|pts(?:\/.*)?|watchdog\d*|input(?:\/.*)?|mem|kmem|port|vcs\w*|hidraw\d*|usbmon\d*|tcp\/.*|udp\/.*|char(?:\/.*)?|core|n?st\d+\w*)|proc\/(?:kmsg|kcore)|sys\/kernel\/(?:debug\/)?tracing\/(?:.*\/)?trace_pipe(?:_raw)?|inet6?(?:\/.*)?)$/
/** What patterns are tried against. */
const SAMPLES = ['zero', 'full', 'random', 'urandom', 'kmsg', 'tty', 'console', 'watchdog', 'ptmx']
  .map((name) => `/dev/${name}`)
  .concat(
    '/dev/char/1:5',
    '/dev/core',
    '/proc/kmsg',
    '/proc/kcore',
    '/sys/kernel/debug/tracing/trace_pipe',
    '/sys/kernel/tracing/trace_pipe',
  )

/** `.` and `..` resolved, slashes joined; other names of the root are taken off. */
export function normalised(path: string, directory = '/'): string {
  const names: string[] = []
  for (const name of (path.startsWith('/') ? path : `${directory}/${path}`).split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
    if (
      names.length >= 3 &&
      names[0] === 'proc' &&
      (names.at(-1) === 'root' || (names.at(-1) === 'cwd' && names.length === 3))
    )
      names.length = 0
  }
  return `/${names.join('/')}`
}

/** @throws {Refused} when one of the words names such a device, as a path or as the value of an option. */
export function checkDevices(words: readonly Word[], directory: string | undefined): void {
  for (const word of words) {
    const text = textOf(word)
    const isPattern = hasGlob(word)
    if (text === undefined && !isPattern) continue
    for (const path of text === undefined ? [] : candidates(text))
      if (ENDLESS.test(normalised(path, directory))) throw endless(path)
    const sample = isPattern ? sampleOf(word, directory) : undefined
    if (sample !== undefined) throw endless(sample)
  }
}

const endless = (path: string): Refused =>
  new Refused(`\`${path}\` never ends or changes when it is read; it is not allowed.`, 'Name ordinary files.')

/** `/dev/zero`, `--file=/dev/zero`, `-f/dev/zero`, `if=/dev/zero`. */
function candidates(text: string): readonly string[] {
  const equals = text.indexOf('=')
  const attached = text.startsWith('-') ? text.indexOf('/') : -1
  return [
    ...(text.startsWith('-') ? [] : [text]),
    ...(equals < 0 ? [] : [text.slice(equals + 1)]),
    ...(attached < 0 ? [] : [text.slice(attached)]),
  ]
}

const ONE = '\u0002'
const MANY = '\u0001'

/** The device that a pattern could become; too wide rather than too narrow: a bracket or a variable stands for anything. */
function sampleOf(word: Word, directory: string | undefined): string | undefined {
  let rough = word.parts
    .map((part) => ('literal' in part ? part.literal : 'glob' in part ? roughly(part.glob) : MANY))
    .join('')
  while (rough.includes(MANY + MANY)) rough = rough.replaceAll(MANY + MANY, MANY)
  const pattern = normalised(rough, directory)
  return SAMPLES.find((sample) => matches(pattern, sample))
}

const roughly = (glob: string): string =>
  glob
    .replaceAll(/\[.*\]/gs, MANY)
    .replaceAll('*', MANY)
    .replaceAll('?', ONE)

/** Step by step over all beginnings at once: no pattern makes it slow. */
function matches(pattern: string, text: string): boolean {
  if (pattern.replaceAll(MANY, '').length > text.length) return false
  let reached = new Set([0])
  for (const sign of pattern) {
    const next = new Set<number>()
    for (const at of reached)
      if (sign === MANY) for (let to = at; to <= text.length && (to === at || text[to - 1] !== '/'); to++) next.add(to)
      else if (text[at] === sign || (sign === ONE && at < text.length && text[at] !== '/')) next.add(at + 1)
    reached = next
    if (reached.size === 0) return false
  }
  return reached.has(text.length)
}
