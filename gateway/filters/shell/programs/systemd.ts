/** systemctl and journalctl: what they show; what they change, send to units, or look at on other hosts is refused. */
import { flags, readOptions } from '../options.ts'
import { Refused, textOf } from '../words.ts'
import type { Program } from './program.ts'

/** No pager, and nothing that a pager would do. */
export const NO_PAGER: readonly string[] =
  '-u LESSOPEN -u LESSCLOSE -u SYSTEMD_LESS PAGER=cat SYSTEMD_PAGER=cat SYSTEMD_PAGERSECURE=1 LESSSECURE=1'.split(' ')

const SYSTEMCTL = flags(
  'h,help version system user t,type= state= failed p,property= P= a,all l,full r,recursive reverse after before with-dependencies show-types value ' +
    'q,quiet wait legend= no-legend no-pager no-ask-password n,lines= o,output= plain timestamp=',
)
const SYSTEMCTL_REFUSED = flags(
  'H,host= M,machine= root= image= image-policy= job-mode= T,show-transaction check-inhibitors= i,ignore-inhibitors kill-whom= kill-who= kill-mode= ' +
    'kill-value= s,signal= what= now dry-run no-block no-wall no-warn no-reload global runtime f,force preset-mode= firmware-setup boot-loader-menu= ' +
    'boot-loader-entry= reboot-argument= read-only mkdir marked drop-in= when= stdin message= C,capsule= make-this-boot-only fail irreversible',
)
const VERBS =
  /^(?:status|show|cat|get-default|is-(?:active|failed|enabled|system-running)|list-(?:units|automounts|paths|sockets|timers|jobs|dependencies|unit-files|machines))$/

const JOURNALCTL = flags(
  'system user m,merge D,directory= file= namespace= S,since= U,until= c,cursor= after-cursor= b,boot? u,unit= user-unit= t,identifier= ' +
    'T,exclude-identifier= p,priority= facility= g,grep= case-sensitive? k,dmesg o,output= output-fields= n,lines? r,reverse show-cursor utc x,catalog ' +
    'no-hostname l,full no-full a,all f,follow no-tail q,quiet no-pager e,pager-end h,help version N,fields F,field= list-boots disk-usage verify ' +
    '0 1 2 3 4 5 6 7 8 9 verify-key= header list-catalog dump-catalog truncate-newline list-namespaces list-invocations I invocation=',
)
const JOURNALCTL_REFUSED = flags(
  'M,machine= root= image= image-policy= cursor-file= interval= force vacuum-size= vacuum-files= vacuum-time= sync relinquish-var ' +
    'smart-relinquish-var flush rotate update-catalog setup-keys new-id128',
)

export const systemdPrograms: readonly Program[] = [
  {
    name: 'systemctl',
    reads: false,
    takesPatternsAsText: true,
    environment: NO_PAGER,
    judge: (argv, use) => {
      const { operands } = readOptions(argv, {
        known: SYSTEMCTL,
        refused: SYSTEMCTL_REFUSED,
        because: 'it changes units or leaves the host',
        allows: use.flag,
      })
      const verb = operands.length === 0 ? 'list-units' : textOf(operands[0])
      if (verb === undefined || !VERBS.test(verb) || !use.word(verb))
        throw new Refused(
          `systemctl ${verb ?? '…'} is not allowed.`,
          'Allowed: status, show, cat, is-…, list-…, get-default.',
        )
    },
  },
  {
    name: 'journalctl',
    environment: NO_PAGER,
    judge: (argv, use) => {
      readOptions(argv, {
        known: JOURNALCTL,
        refused: JOURNALCTL_REFUSED,
        because: 'it changes the journal, writes a file or leaves the host',
        allows: use.flag,
      })
    },
  },
]
