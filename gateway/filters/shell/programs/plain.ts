/** Programs that only read, whatever they are asked (but for what is named here). */
import { readOptions } from '../options.ts'
import { Refused, textOf, type Word } from '../words.ts'
import { type Program, plain } from './program.ts'

const listers =
  'ls whoami id uptime free uname nproc lscpu lsblk w who printenv stat basename dirname readlink realpath which vmstat'
    .split(' ')
    .map((name) => plain(name, { reads: false }))
const readers = 'last du cat head tail wc grep cut tr cmp md5sum sha256sum nl tac od'
  .split(' ')
  .map((name) => plain(name))

const number = (word: Word | undefined): number | undefined => {
  const text = textOf(word)
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : undefined
}

/** Used by the judge as well: `exit` becomes a step of the plan. @throws {Refused} */
export function exitStatus(argv: readonly Word[]): number | undefined {
  if (argv.length === 0) return undefined
  const status = number(argv[0])
  if (argv.length > 1 || status === undefined || status > 255)
    throw new Refused('exit takes one number from 0 to 255 at most.')
  return status
}

const words: readonly Program[] = [
  { name: 'echo', judge: () => undefined, reads: false },
  {
    name: 'printf',
    reads: false,
    judge: (argv) => {
      const text = argv.length === 0 ? '' : textOf(argv[0])
      if (text === undefined || (text.startsWith('-') && text !== '--' && text !== '-'))
        throw new Refused('printf takes a format first; options such as -v are not allowed.', "printf '%s\\n' …")
    },
  },
  {
    name: 'pwd',
    reads: false,
    isBuiltin: true,
    judge: (argv) => {
      for (const word of argv)
        if (!['-L', '-P', '--'].includes(textOf(word) ?? '')) throw new Refused('pwd takes no arguments but -L or -P.')
    },
  },
  {
    name: 'type',
    reads: false,
    isBuiltin: true,
    judge: (argv, use) => {
      readOptions(argv, { known: new Map(), open: true, allows: use.flag })
    },
  },
  { name: 'exit', reads: false, isBuiltin: true, judge: (argv) => void exitStatus(argv) },
  { name: 'cd', reads: false, isBuiltin: true, judge: () => undefined },
]

/** ps: BSD letters without a dash are options too, and all of them read. */
const ps: Program = {
  name: 'ps',
  reads: false,
  judge: (argv, use) => void readOptions(argv, { known: new Map(), open: true, allows: use.flag }),
}

export const plainPrograms: readonly Program[] = [
  ...listers,
  ...readers,
  ...words,
  ps,
  plain('getent', { refused: 's,service=', because: 'it loads the library it names', reads: false }),
  plain('df', { refused: 'sync', because: 'it makes the host write', reads: false }),
  plain('diff', {
    known:
      'C,context? U,unified? I,ignore-matching-lines= x,exclude= X,exclude-from= F,show-function-line= W,width= D,ifdef= S,starting-file= label= horizon-lines= tabsize= palette= color?',
    refused: 'l,paginate',
    because: 'it starts another program',
  }),
  plain('zcat', { refused: 'k,keep r,recursive', because: 'zcat writes to the screen only' }),
  plain('strings', { known: 'n,bytes= t,radix= e,encoding= T,target= s,output-separator=' }),
  plain('hexdump', { known: 'e,format= f,format-file= n,length= s,skip=' }),
  plain('file', {
    known: 'm,magic-file= F,separator= f,files-from= P,parameter= e,exclude= exclude-quiet=',
    refused: 'C,compile p,preserve-date',
    because: 'it writes',
  }),
  plain('ping', {
    known: 'c,count= C e= F= G= h= i,interval= I= M= m= N= O p= Q= s,size= S= t= T= w,deadline= W,timeout=',
    refused: 'f,flood l,preload= b A,adaptive',
    because: 'it floods the network',
    reads: false,
  }),
  plain('lsof', {
    known: 'A= c= d= E e= F? f? g? i? k= m= L? o? p= r? s? S? T? u= x? z? Z?',
    refused: 'D=',
    because: 'it writes a device cache',
    reads: false,
  }),
]
