/** Is the browser where the terminal is? */
import { BlockList, isIP } from 'node:net'

/** One LAN shares a /64, and a machine changes its address within it by itself (RFC 8981). */
const LAN_BITS = 64

/** The same machine as far as addresses can tell: equal IPv4, the same /64 of IPv6, or both loopback. Unknown is different. */
export function isSameAddress(a: string, b: string): boolean {
  const [one, other] = [unmapped(a), unmapped(b)]
  const family = isIP(one)
  if (family === 0 || isIP(other) === 0) return false
  if (isLoopback(one) && isLoopback(other)) return true
  if (family !== isIP(other)) return false
  if (family === 4) return one === other
  const lan = new BlockList()
  lan.addSubnet(one, LAN_BITS, 'ipv6')
  return lan.check(other, 'ipv6')
}

const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')

/** `::ffff:192.0.2.1` is how a dual-stack socket writes 192.0.2.1. The zone of a link-local address is nobody else's business. */
const unmapped = (address: string): string => address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
