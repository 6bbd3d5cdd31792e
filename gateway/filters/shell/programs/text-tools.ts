/** sort, uniq, less: readers of text that can also write, and how they are kept from it. */
import { flags, readOptions } from '../options.ts'
import { hasGlob, headOf, Refused } from '../words.ts'
import type { Program } from './program.ts'

const SORT = flags(
  'b,ignore-leading-blanks d,dictionary-order f,ignore-case g,general-numeric-sort i,ignore-nonprinting M,month-sort h,human-numeric-sort ' +
    'n,numeric-sort R,random-sort r,reverse V,version-sort c,check? C m,merge s,stable u,unique z,zero-terminated k,key= t,field-separator= ' +
    'S,buffer-size= random-source= sort= batch-size= parallel= debug files0-from= help version',
)
const SORT_REFUSED = flags('o,output= T,temporary-directory= compress-program=')

const sort: Program = {
  name: 'sort',
  judge: (argv, use) => {
    const { given } = readOptions(argv, {
      known: new Map([...SORT, ['-c', { names: ['-c', '--check'], takes: 'nothing' }]]),
      refused: SORT_REFUSED,
      because: 'it writes a file or starts a program',
      allows: use.flag,
    })
    if (given.some(({ flag, hasValue, value }) => flag.names.includes('--sort') && hasValue && value === undefined))
      throw new Refused('The value of --sort must be written out.')
  },
}

const UNIQ = flags(
  'c,count d,repeated D all-repeated? f,skip-fields= group? i,ignore-case s,skip-chars= u,unique z,zero-terminated w,check-chars= help version',
)

const uniq: Program = {
  name: 'uniq',
  judge: (argv, use) => {
    const { operands } = readOptions(argv, { known: UNIQ, allows: use.flag })
    if (operands.length > 1)
      throw new Refused('uniq would write into its second operand; only one is allowed.', 'uniq FILE')
    if (operands.some(hasGlob))
      throw new Refused('uniq with a pattern might get a second file and write into it.', 'Name one file.')
  },
}

/** One-letter options of less that change only what is shown. */
const LESS = flags(
  'a,search-skip-screen A,SEARCH-SKIP-SCREEN B,auto-buffers c,clear-screen C,CLEAR-SCREEN d,dumb e,quit-at-eof E,QUIT-AT-EOF f,force ' +
    'F,quit-if-one-screen g,hilite-search G,HILITE-SEARCH i,ignore-case I,IGNORE-CASE J,status-column K,quit-on-intr m,long-prompt ' +
    'M,LONG-PROMPT n,line-numbers N,LINE-NUMBERS q,quiet,silent Q,QUIET,SILENT r,raw-control-chars R,RAW-CONTROL-CHARS s,squeeze-blank-lines ' +
    'S,chop-long-lines u,underline-special U,UNDERLINE-SPECIAL V,version w,hilite-unread W,HILITE-UNREAD X,no-init ~,tilde ?,help ' +
    'b,buffers= h,max-back-scroll= j,jump-target= p,pattern= x,tabs= y,max-forw-scroll= z,window= #,shift= ' +
    'no-keypad follow-name mouse wheel-lines= incsearch line-num-width= status-col-width= rscroll= use-backslash header= redraw-on-quit',
)
const LESS_REFUSED = flags(
  'o,log-file= O,LOG-FILE= k,lesskey-file= lesskey-src= lesskey-content= t,tag= T,tag-file= P,prompt= D,color= L,no-lessopen ",quotes= save-marks',
)

const less: Program = {
  name: 'less',
  wantsTerminal: true,
  environment:
    '-u LESSOPEN -u LESSCLOSE -u LESSKEY -u LESSKEYIN -u LESSKEY_SYSTEM -u LESSKEYIN_SYSTEM -u LESSKEY_CONTENT -u LESSEDIT -u LESSMETACHARS -u LESS LESSSECURE=1 LESSHISTFILE=- LESS_TERMCAP_ti= VISUAL=false EDITOR=false'
      .split(' ')
      .filter((text) => text !== 'LESS_TERMCAP_ti='),
  judge: (argv, use) => {
    for (const word of argv)
      if (headOf(word).startsWith('+'))
        throw new Refused('Commands for less to start with (+…) are not allowed.', 'Type them inside less.')
    const { given } = readOptions(argv, {
      known: LESS,
      refused: LESS_REFUSED,
      because: 'less could write a file, run a command or rebind its keys with it',
      allows: use.flag,
    })
    for (const { flag, hasValue, value } of given)
      if (hasValue && (value === undefined || value.includes('$')))
        throw new Refused(`The value of ${flag.names[0] ?? 'this option'} must be plain text without $.`)
  },
}

export const textPrograms: readonly Program[] = [sort, uniq, less]
