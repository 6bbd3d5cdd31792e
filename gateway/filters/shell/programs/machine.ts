/** date, top, dmesg, env: programs that show the machine, and could also change its clock, its processes or its messages. */
import { flags, readOptions } from '../options.ts'
import { headOf, Refused, textOf } from '../words.ts'
import type { Program } from './program.ts'
import { NO_PAGER } from './systemd.ts'

const DATE = flags(
  'd,date= debug I,iso-8601? resolution R,rfc-email,rfc-822,rfc-2822 rfc-3339= r,reference= u,utc,universal,uct help version',
)
const DATE_REFUSED = flags('s,set= f,file=')

const TOP = flags(
  'b,batch-mode,batch n,iterations= d,delay= p,pid= u,filter-only-euser= U,filter-any-user= o,sort-override= c,cmdline-toggle H,threads-show ' +
    'i,idle-toggle S,accum-time-toggle s,secure-mode 1,single-cpu-toggle E,scale-summary-mem= e,scale-task-mem= O,list-fields w,width? h,help V,v,version',
)

const DMESG = flags(
  'f,facility= H,human J,json k,kernel L,color? l,level= P,nopager p,force-prefix r,raw S,syslog s,buffer-size= u,userspace w,follow ' +
    'W,follow-new x,decode d,show-delta e,reltime T,ctime t,notime time-format= since= until= noescape h,help V,version F,file= K,kmsg-file=',
)
const DMESG_REFUSED = flags('C,clear c,read-clear D,console-off E,console-on n,console-level=')

const ENV = flags('0,null help version')

export const machinePrograms: readonly Program[] = [
  {
    name: 'date',
    judge: (argv, use) => {
      const { operands } = readOptions(argv, {
        known: DATE,
        refused: DATE_REFUSED,
        because: 'it sets the clock, or reads dates from a file',
        allows: use.flag,
      })
      if (operands.some((word) => !headOf(word).startsWith('+')) || operands.length > 1)
        throw new Refused('date takes one format that begins with +; anything else would set the clock.', 'date +%F')
    },
  },
  {
    name: 'top',
    reads: false,
    /** It makes a directory for its settings where it can. */
    environment: ['HOME=/dev/null', 'XDG_CONFIG_HOME=/dev/null'],
    wantsTerminal: true,
    judge: (argv, use) => {
      const { given, operands } = readOptions(argv, { known: TOP, allows: use.flag })
      const names = new Set(given.flatMap(({ flag }) => flag.names))
      if (operands.some((word) => !/^\d+$/.test(textOf(word) ?? '')))
        throw new Refused('top takes options only.', 'top -b -n 1')
      if (!['-b', '-h', '-V', '-O'].some((name) => names.has(name)))
        throw new Refused('top can kill and renice while it runs; only its batch mode is allowed.', 'top -b -n 1')
    },
  },
  {
    name: 'dmesg',
    environment: NO_PAGER,
    judge: (argv, use) => {
      readOptions(argv, {
        known: DMESG,
        refused: DMESG_REFUSED,
        because: 'it changes the kernel log or the console',
        allows: use.flag,
      })
    },
  },
  {
    name: 'env',
    reads: false,
    judge: (argv, use) => {
      const { operands } = readOptions(argv, { known: ENV, allows: use.flag })
      if (operands.length > 0)
        throw new Refused('env with arguments would start a program or change its surroundings.', 'Call env alone.')
    },
  },
]
