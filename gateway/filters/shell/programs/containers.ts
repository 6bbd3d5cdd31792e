/** docker and kubectl: sub-commands that show, each with the flags that are known to show only. */
import { type Flags, flags, type Given, readOptions } from '../options.ts'
import type { Use } from '../rules.ts'
import { Refused, textOf, type Word } from '../words.ts'
import type { Program } from './program.ts'

const DOCKER: ReadonlyMap<string, Flags> = new Map(
  Object.entries({
    ps: 'a,all f,filter= format= n,last= l,latest no-trunc q,quiet s,size',
    logs: 'details f,follow since= n,tail= t,timestamps until=',
    inspect: 'f,format= s,size type=',
    images: 'a,all digests f,filter= format= no-trunc q,quiet tree',
    stats: 'a,all format= no-stream no-trunc',
    top: '',
    version: 'f,format=',
    info: 'f,format=',
    port: '',
    diff: '',
    history: 'format= H,human no-trunc platform= q,quiet',
    'network ls': 'f,filter= format= no-trunc q,quiet',
    'network inspect': 'f,format= v,verbose',
    'volume ls': 'cluster f,filter= format= q,quiet',
    'volume inspect': 'f,format=',
  }).map(([name, list]) => [name, flags(list)]),
)

function judgeDocker(argv: readonly Word[], use: Use): void {
  const [command, rest] = subCommand(argv, DOCKER, 'docker', use)
  if (command === 'top') {
    if (rest[0] === undefined || textOf(rest[0])?.startsWith('-'))
      throw new Refused('docker top needs a container first.')
    return
  }
  const { given } = readOptions(rest, {
    known: DOCKER.get(command) ?? new Map(),
    shortens: false,
    booleans: true,
    allows: use.flag,
  })
  noBooleanValues(given)
  if (command === 'stats' && !given.some(({ flag }) => flag.names.includes('--no-stream')))
    throw new Refused('docker stats goes on for ever.', 'docker stats --no-stream')
}

const EVERYWHERE = 'n,namespace= context= request-timeout= -v,--v= h,help'
const SELECT = 'A,all-namespaces chunk-size= f,filename= R,recursive l,selector='
const PRINT = 'allow-missing-template-keys o,output= show-managed-fields template='
const KUBECTL: ReadonlyMap<string, Flags> = new Map(
  Object.entries({
    get: `${SELECT} ${PRINT} field-selector= ignore-not-found L,label-columns= no-headers output-watch-events server-print show-kind show-labels sort-by= subresource= w,watch watch-only`,
    describe: `${SELECT} show-events`,
    logs: 'all-containers all-pods c,container= f,follow ignore-errors limit-bytes= max-log-requests= pod-running-timeout= prefix p,previous l,selector= since= since-time= tail= timestamps',
    'top pod':
      'A,all-namespaces containers field-selector= no-headers l,selector= sort-by= sum use-protocol-buffers show-capacity',
    version: 'client o,output= short',
    explain: 'api-version= o,output= recursive',
    'api-resources': 'api-group= cached categories= namespaced no-headers o,output= sort-by= verbs=',
    'cluster-info': '',
    'config view': `${PRINT} flatten merge minify`,
    'config current-context': '',
    'config get-contexts': 'no-headers o,output=',
    'rollout status': 'f,filename= R,recursive revision= timeout= w,watch l,selector=',
    'rollout history': `${PRINT} f,filename= R,recursive revision= l,selector=`,
  }).map(([name, list]) => [name, flags(`${EVERYWHERE} ${list}`)]),
)
const KUBECTL_TOP = /^(?:pods?|po|nodes?|no)$/
const GLOBAL = flags(EVERYWHERE)

function judgeKubectl(argv: readonly Word[], use: Use): void {
  const before = readOptions(argv, {
    known: GLOBAL,
    shortens: false,
    booleans: true,
    stopsAtOperand: true,
    allows: use.flag,
  })
  noBooleanValues(before.given)
  if (before.operands.length === 0) {
    if (before.given.some(({ flag }) => flag.names.includes('--help'))) return
    throw new Refused('kubectl needs a command.', 'kubectl get pods')
  }
  const words = before.operands
  const isTop = textOf(words[0]) === 'top'
  const [command, rest] = isTop ? (['top pod', words.slice(1)] as const) : subCommand(words, KUBECTL, 'kubectl', use)
  if (isTop && !use.word('top')) throw new Refused("Your role's list has no kubectl top.")
  const { given, operands } = readOptions(rest, {
    known: KUBECTL.get(command) ?? new Map(),
    shortens: false,
    booleans: true,
    allows: use.flag,
  })
  noBooleanValues(given)
  for (const { flag, value } of given)
    if (flag.names.includes('--filename') && (value === undefined || value.includes('://')))
      throw new Refused('kubectl -f takes a file of this host.')
  if (isTop && operands[0] !== undefined && !KUBECTL_TOP.test(textOf(operands[0]) ?? ''))
    throw new Refused('kubectl top shows pods or nodes.')
  if (
    (command === 'cluster-info' || command.startsWith('config ')) &&
    operands.length > (command === 'config get-contexts' ? 1 : 0)
  )
    throw new Refused(`kubectl ${command} takes no further words.`)
}

/** The first one or two words, when they are on the list. */
function subCommand(
  argv: readonly Word[],
  list: ReadonlyMap<string, Flags>,
  program: string,
  use: Use,
): readonly [command: string, rest: readonly Word[]] {
  const one = textOf(argv[0])
  const two = textOf(argv[1])
  const pair = `${one ?? ''} ${two ?? ''}`
  const command = one !== undefined && list.has(one) ? one : list.has(pair) && two !== undefined ? pair : undefined
  if (command === undefined || one === undefined) {
    if (one?.startsWith('-'))
      throw new Refused(
        `${program} ${one} before the command is not allowed.`,
        `Begin with the command: ${program} ${first(list)}`,
      )
    const names = [...list.keys()].map((name) => name.split(' ')[0])
    throw new Refused(
      `${program} ${list.has(one ?? '') || names.includes(one) ? pair.trim() : (one ?? '…')} is not allowed.`,
      `Allowed: ${[...new Set(list.keys())].join(', ')}.`,
    )
  }
  if (!use.word(one)) throw new Refused(`Your role's list has no ${program} ${one}.`)
  return [command, argv.slice(command === pair ? 2 : 1)]
}

const first = (list: ReadonlyMap<string, Flags>): string => list.keys().next().value ?? ''

/** `--no-stream=false` would turn it round; elsewhere yes and no do not matter. */
function noBooleanValues(given: readonly Given[]): void {
  for (const { flag, hasValue, value } of given)
    if (flag.takes === 'nothing' && hasValue) {
      const isFine = flag.names.includes('--no-stream') ? value === 'true' : value === 'true' || value === 'false'
      if (!isFine) throw new Refused(`${flag.names.at(-1) ?? ''} takes no value.`)
    }
}

export const containerPrograms: readonly Program[] = [
  { name: 'docker', reads: false, takesPatternsAsText: true, judge: judgeDocker },
  /** It would keep what it learns about the cluster in the home directory. */
  {
    name: 'kubectl',
    reads: false,
    takesPatternsAsText: true,
    environment: ['KUBECACHEDIR=/dev/null'],
    judge: judgeKubectl,
  },
]
