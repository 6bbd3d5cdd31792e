/** Which addresses curl may ask: http and https, never the link-local ones and those where clouds keep a machine's keys. */
import { Refused } from '../words.ts'

const SHAPE = /^https?:\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?(?:[/?][\w\-.~!$&'()*+,;=:@%/?]*)?$/i
const NAMES = /^(?:metadata|instance-data|.*\bmetadata\..*|.*instance-data\..*)$/i

const refused = (why: string): Refused =>
  new Refused(why, 'curl may ask http:// and https:// addresses, for example http://127.0.0.1:8080/metrics.')

/** @throws {Refused} Undefined stands for an address that is only known on the target. */
export function checkUrl(url: string | undefined): void {
  const host = url === undefined ? undefined : SHAPE.exec(url)?.[1]
  if (url === undefined || host === undefined)
    throw refused(
      'The address for curl must be a plain http:// or https:// one, written out, without name, password or patterns.',
    )
  let canonical: string
  try {
    canonical = new URL(`http://${host}/`).hostname.replace(/\.+$/, '')
  } catch {
    throw refused('The host in this address cannot be read.')
  }
  if (canonical.startsWith('[') ? isForbidden6(canonical.slice(1, -1)) : isForbiddenName(canonical))
    throw refused('Link-local and metadata addresses are not allowed.')
}

function isForbiddenName(host: string): boolean {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(host)) return isForbidden4(host.split('.').map(Number))
  if (NAMES.test(host)) return true
  if (/^0x[0-9a-f]+$|^[\d.x]+$/i.test(host)) return true
  for (const numbers of host.matchAll(/(?=(?<!\d)(\d{1,3})[.-](\d{1,3})[.-](\d{1,3})[.-](\d{1,3})(?!\d))/g))
    if (isForbidden4(numbers.slice(1, 5).map(Number))) return true
  return /a9fe[0-9a-f]{4}/i.test(host)
}

function isForbidden4(octets: readonly number[]): boolean {
  const [a, b, c, d] = octets
  if (a === 169 && b === 254) return true
  if (a === 100 && b === 100 && c === 100 && d === 200) return true
  if (a === 192 && b === 0 && c === 0 && d === 192) return true
  return a === 168 && b === 63 && c === 129 && d === 16
}

const holds4 = (high = 0, low = 0): boolean => isForbidden4([high >> 8, high & 255, low >> 8, low & 255])

/** `host` as the URL standard writes it: lower case, compressed. */
function isForbidden6(host: string): boolean {
  const groups = expand(host)
  const [first, second, third] = groups
  if (first === undefined) return true
  if ((first & 0xffc0) === 0xfe80 || (first & 0xffc0) === 0xfec0) return true
  if (first === 0xfd00 && (second === 0x0ec2 || second === 0x0a9f)) return true
  if (first === 0xfd20 && second === 0x00ce) return true
  if (first === 0x2002 && holds4(second, third)) return true
  const isEmbedded = groups.slice(0, 5).every((group) => group === 0) || (first === 0x64 && second === 0xff9b)
  return isEmbedded && holds4(groups[6], groups[7])
}

const numbers = (side: string): readonly number[] =>
  side === '' ? [] : side.split(':').map((group) => Number.parseInt(group, 16))

function expand(host: string): readonly number[] {
  const [left = '', right] = host.split('::')
  const before = numbers(left)
  const after = right === undefined ? [] : numbers(right)
  return right === undefined
    ? before
    : [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after]
}
