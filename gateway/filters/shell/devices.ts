/** Devices that never end, that block, or that change when they are read: refused wherever a program would read them. */
import { hasGlob, Refused, textOf, type Word } from './words.ts'

const ENDLESS =
  /^\/(?:dev\/(?:zero|full|u?random|hwrng|kmsg|console|tty\w*|ptmx|pts(?:\/.*)?|watchdog\d*|input(?:\/.*)?|mem|kmem|port|vcs\w*|hidraw\d*|usbmon\d*|tcp\/.*|udp\/.*)|proc\/kmsg|sys\/kernel\/(?:debug\/)?tracing\/(?:.*\/)?trace_pipe|inet6?(?:\/.*)?)$/
/** What patterns are tried against. */
const SAMPLES = ['zero', 'full', 'random', 'urandom', 'kmsg', 'tty', 'console', 'watchdog', 'ptmx']
  .map((name) => `/dev/${name}`)
  .concat('/proc/kmsg', '/sys/kernel/debug/tracing/trace_pipe', '/sys/kernel/tracing/trace_pipe')

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
    if (isPattern) {
      const pattern = patternOf(word, directory ?? '/')
      const sample = SAMPLES.find((path) => pattern.test(path))
      if (sample !== undefined) throw endless(sample)
    }
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

function patternOf(word: Word, directory: string): RegExp {
  const [first] = word.parts
  const isRooted = first !== undefined && 'literal' in first && first.literal.startsWith('/')
  const body = word.parts
    .map((part) =>
      'literal' in part
        ? part.literal.replaceAll(/[^\w/]/g, String.raw`\$&`)
        : 'glob' in part
          ? globSource(part.glob)
          : '.*',
    )
    .join('')
    .replaceAll(/(?:\/(?:\\\.)?)+(?=\/)/g, '')
  const source = isRooted ? body : `${normalised(directory).replaceAll(/[^\w/]/g, String.raw`\$&`)}/${body}`
  return new RegExp(`^${source.replaceAll(/\/{2,}/g, '/')}$`)
}

/** Too wide rather than too narrow: a bracket stands for any one character. */
const globSource = (glob: string): string =>
  glob.replaceAll(/\[.*\]|[*?]|[^\w/]/g, (match) =>
    match === '*'
      ? '[^/]*'
      : match === '?' || match.startsWith('[')
        ? match.length > 1
          ? '[^/]*'
          : '[^/]'
        : `\\${match}`,
  )
