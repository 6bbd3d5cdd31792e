/** ip, ss, hostname, curl: looking at the network without changing it, and without reaching where machines keep their keys. */
import { flags, readOptions } from '../options.ts'
import type { Use } from '../rules.ts'
import { Refused, textOf, type Word } from '../words.ts'
import type { Program } from './program.ts'
import { checkUrl } from './urls.ts'

/** Spellings of global options; `ip` shortens and doubles dashes by rules of its own, so only the usual ones are taken. */
const IP_OPTIONS = new Set(
  '4 6 0 M B s stats statistics d details r resolve o oneline t timestamp ts tshort j json p pretty br brief c color h human human-readable iec l loops N Numeric a all f family V Version'.split(
    ' ',
  ),
)
const IP_VALUES = new Set(['l', 'loops', 'f', 'family'])
/** Each with the shortest beginning that means nothing else in any version. */
const IP_OBJECTS: readonly (readonly [name: string, least: number])[] = [
  ['address', 1],
  ['link', 1],
  ['route', 1],
  ['rule', 2],
  ['neighbour', 1],
  ['neighbor', 1],
  ['maddress', 1],
  ['mroute', 2],
  ['tunnel', 3],
  ['netconf', 4],
  ['nexthop', 3],
  ['addrlabel', 5],
  ['ntable', 2],
]
const IP_SHOW = /^(?:sh|sho|show|l|li|lis|list|ls|lst)$/
const IP_GET = /^(?:g|ge|get)$/

function judgeIp(argv: readonly Word[], use: Use): void {
  const words = argv.map((word) => textOf(word))
  let at = 0
  for (; words[at]?.startsWith('-'); at++) {
    const option = words[at]?.replace(/^--?/, '') ?? ''
    const name = option.replace(/^(color)=.*$|^(c)=.*$/, '$1$2')
    if (!IP_OPTIONS.has(name) && !/^s{2,3}$|^h$/.test(name))
      throw new Refused(`ip ${words[at] ?? ''} is not on the list of options that only show.`)
    if (!use.flag([`-${name}`])) throw new Refused(`Your role's list has no -${name} for ip.`)
    if (IP_VALUES.has(name)) at += 1
  }
  if (at >= words.length) {
    if (words.some((word) => word === '-V' || word === '-Version')) return
    throw new Refused('ip needs an object to show.', 'ip address, ip route, ip link show')
  }
  const object = words[at]
  const name = IP_OBJECTS.find(
    ([full, least]) => object !== undefined && object.length >= least && full.startsWith(object),
  )?.[0]
  if (name === undefined || !use.word(name))
    throw new Refused(
      `ip ${object ?? ''} is not allowed.`,
      'Allowed: ip address|link|route|rule|neigh … show, list or get.',
    )
  const verb = words[at + 1]
  const mayGet = name !== 'address'
  if (
    argv[at + 1] !== undefined &&
    !(verb !== undefined && (IP_SHOW.test(verb) || (verb === 's' && name !== 'link') || (mayGet && IP_GET.test(verb))))
  )
    throw new Refused(`ip ${name} ${verb ?? '…'} is not allowed.`, 'Only show, list and get are.')
  if (words.slice(at + 1).includes(undefined)) throw new Refused('The words after ip must be written out.')
}

const SS = flags(
  'h,help V,version n,numeric r,resolve a,all l,listening o,options e,extended m,memory p,processes T,threads i,info s,summary E,events Z,context ' +
    'z,contexts 4,ipv4 6,ipv6 0,packet t,tcp M,mptcp S,sctp u,udp d,dccp w,raw x,unix tipc vsock xdp f,family= A,query,socket= F,filter= H,no-header ' +
    'O,oneline Q,no-queues b,bpf cgroup tos B,bound-inactive inet-sockopt',
)
const SS_REFUSED = flags('K,kill D,diag= N,net=')

const HOSTNAME = flags(
  'a,alias A,all-fqdns d,domain f,fqdn,long i,ip-address I,all-ip-addresses s,short y,yp,nis h,help V,version',
)
const HOSTNAME_REFUSED = flags('F,file= b,boot')

const CURL = flags('s,silent S,show-error f,fail I,head i,include,show-headers v,verbose m,max-time= connect-timeout=')

export const networkPrograms: readonly Program[] = [
  { name: 'ip', reads: false, judge: judgeIp },
  {
    name: 'ss',
    judge: (argv, use) => {
      readOptions(argv, {
        known: SS,
        refused: SS_REFUSED,
        because: 'it closes sockets, writes a file or leaves the host',
        allows: use.flag,
      })
    },
  },
  {
    name: 'hostname',
    reads: false,
    judge: (argv, use) => {
      const { operands } = readOptions(argv, {
        known: HOSTNAME,
        refused: HOSTNAME_REFUSED,
        because: 'it sets the name of the host',
        allows: use.flag,
      })
      if (operands.length > 0) throw new Refused('hostname with a name would set it.', 'Call it without one.')
    },
  },
  {
    name: 'curl',
    reads: false,
    takesPatternsAsText: true,
    /** Without it the account's own .curlrc could add anything. */
    first: ['-q'],
    judge: (argv, use) => {
      const { given, operands } = readOptions(argv, { known: CURL, shortens: false, allows: use.flag })
      for (const { flag, hasValue, value } of given)
        if (flag.takes === 'value' && !/^\d{1,6}(?:\.\d{1,6})?$/.test(value ?? ''))
          throw new Refused(`${flag.names.at(-1) ?? ''} takes a number of seconds.`)
        else if (flag.takes === 'nothing' && hasValue) throw new Refused(`${flag.names.at(-1) ?? ''} takes no value.`)
      if (operands.length === 0) throw new Refused('curl needs an address that begins with http:// or https://.')
      for (const operand of operands) checkUrl(textOf(operand))
    },
  },
]
