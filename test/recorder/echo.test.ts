/** Input that was not echoed is a password: its length is kept, its bytes are not. */
import t from 'tap'
import { EchoGate, type Held } from '../../gateway/recorder/echo.ts'
import { Screen } from '../../gateway/recorder/screen.ts'
import { moment } from './parts.ts'

/** A terminal whose recording is a list of strings like `i:ls`; time goes by the second number. */
function keyboard() {
  const recorded: string[] = []
  const gate = new EchoGate((kind, data) => recorded.push(`${kind}:${data.toString()}`))
  let now = 1_000
  return {
    recorded,
    wait: (ms: number) => gate.tick(moment((now += ms))),
    type: (text: string) => gate.input(Buffer.from(text), moment(now)),
    show: (text: string | Buffer) => {
      gate.output(Buffer.from(text), moment(now))
      recorded.push(`o:${text.toString()}`)
    },
    held: (): readonly Held[] => gate.held(moment(now)),
    end: () => gate.end(),
  }
}

t.test('what the terminal shows as it is typed is recorded before it is shown', async (t) => {
  const k = keyboard()
  k.show('$ ')
  k.type('l')
  k.show('l')
  k.type('s')
  k.show('s')
  k.type('\r')
  k.show('\r\nfile\r\n')
  t.same(k.recorded, ['o:$ ', 'i:l', 'o:l', 'i:s', 'o:s', 'i:\r', 'o:\r\nfile\r\n'])
})

t.test('a password at a question of sudo is kept as its length', async (t) => {
  const k = keyboard()
  k.show('[sudo] password for alice: ')
  for (const key of 'hunter2') k.type(key)
  t.notMatch(
    k
      .held()
      .map((held) => held.data.toString())
      .join(),
    /[hunter]/,
    'it is not in the hold file either',
  )
  k.type('\r')
  k.show('\r\n')
  k.show('root\r\n')
  t.same(k.recorded.slice(1), ['k:7', 'i:\r', 'o:\r\n', 'o:root\r\n'])
})

t.test('a password with a mask of stars, or with its letters in what is shown meanwhile, stays one', async (t) => {
  const k = keyboard()
  k.show('Passphrase: ')
  for (const key of 's3cret') {
    k.type(key)
    k.show('*')
  }
  k.show('the s3cret of tail -f')
  k.type('\r')
  k.show('\r\n')
  t.ok(k.recorded.includes('k:6'))
  t.notMatch(k.recorded.filter((line) => line.startsWith('i')).join(), 's')
})

t.test('a password where nothing was asked is not echoed either', async (t) => {
  const k = keyboard()
  k.show('> ')
  for (const key of 'tops3cret') k.type(key)
  k.type('\r')
  k.show('\r\n')
  k.wait(1_500)
  t.same(k.recorded, ['o:> ', 'o:\r\n', 'k:9', 'i:\r'])
})

t.test('a pasted line is recorded when its echo comes, and what was typed behind it keeps its place', async (t) => {
  const k = keyboard()
  k.show('$ ')
  k.type('ls -la\rwho\r')
  k.show('ls -la\r\n')
  k.show('total 0\r\n$ ')
  k.show('who\r\n')
  t.same(
    k.recorded.filter((line) => line.startsWith('i')),
    ['i:ls -la', 'i:\r', 'i:who', 'i:\r'],
  )
})

t.test('where a line editor or a full-screen program draws, input is recorded at once', async (t) => {
  for (const on of ['\u001b[?2004h', '\u001b[?1049h', '\u001b[?1;47h']) {
    const k = keyboard()
    k.show(on.slice(0, 4))
    k.show(on.slice(4))
    k.type('x')
    t.same(k.recorded.at(-1), 'i:x', `${on.slice(1)}, cut in two`)
    k.show(on.replace('h', 'l'))
    k.type('y')
    t.not(k.recorded.at(-1), 'i:y', 'and no more after it has ended')
  }
})

t.test('a question for a secret holds input even in a line editor', async (t) => {
  const k = keyboard()
  k.show('\u001b[?2004hme@password-vault:~$ ')
  k.type('l')
  t.same(k.recorded.at(-1), 'i:l', 'a name in a prompt is no question')
  k.show('l\r\nEnter passphrase for key: ')
  k.type('p')
  k.type('w')
  k.end()
  t.same(k.recorded.at(-1), 'k:2')
})

t.test('control characters and arrows are recorded at once', async (t) => {
  const k = keyboard()
  k.type('\u0003')
  k.type('\u001b[A\u001bOB\u001bb')
  t.same(k.recorded, ['i:\u0003', 'i:\u001b[A\u001bOB\u001bb'])
})

t.test('echo that comes in colours, piece by piece, or with the rest of the line is echo', async (t) => {
  const k = keyboard()
  k.type('l')
  k.show('\u001b[1m\u001b[31ml\u001b[0m')
  k.type('s')
  k.show('\b\u001b[32mls\u001b[0m')
  k.type('grep')
  k.show('gr')
  k.show('ep')
  k.type('x')
  k.show('xyz\b\b')
  k.type('ü')
  k.show(Buffer.from('ü').subarray(0, 1))
  k.show(Buffer.from('ü').subarray(1))
  t.equal(k.held().length, 0)
  t.same(
    k.recorded.filter((line) => line.startsWith('k')),
    [],
  )
})

t.test('only what is younger than half a second can come back after a crash', async (t) => {
  const k = keyboard()
  k.type('a')
  t.same(k.held(), [{ kind: 'i', at: 1_000, data: Buffer.from('a') }])
  k.wait(600)
  t.same(k.held(), [{ kind: 'k', at: 1_000, data: Buffer.from('1') }])
  k.wait(5_000)
  t.same(k.recorded, ['k:1'])
})

t.test('what a program asks in many words and languages is a question for a secret', async (t) => {
  for (const line of [
    'Password: ',
    "alice's password: ",
    'Enter PIN: ',
    'Verification code: ',
    'Kennwort: ',
    'Mot de passe : ',
    '(current) UNIX password: ',
    "Enter passphrase for key '/x': ",
    "One-time password (OATH) for `alice': ",
    'API key: ',
    'Пароль: ',
    '密码：',
  ]) {
    const screen = new Screen()
    screen.show(Buffer.from(`last login\r\n\u001b[1m${line}\u001b[0m`))
    t.equal(screen.asked, true, line)
    screen.show(Buffer.from('\r\n'))
    t.equal(screen.asked, false)
  }
})

t.test('no bytes at all are lost or invented, whatever comes', async (t) => {
  let seed = 7
  const random = (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % n
  for (let round = 0; round < 300; round++) {
    let typed = 0
    let counted = 0
    const gate = new EchoGate((kind, data) => (counted += kind === 'i' ? data.length : Number(data)))
    for (let step = 0; step < 40; step++) {
      const bytes = Buffer.from(
        Array.from(
          { length: random(6) },
          () => [0x1b, 0x5b, 0x3f, 0x68, 0x0d, 0x0a, 0x61, 0x62, 0x3a, 0xc3][random(10)] ?? 0,
        ),
      )
      if (random(2) === 0) {
        gate.input(bytes, moment(step * random(400)))
        typed += bytes.length
      } else gate.output(bytes, moment(step * 100))
    }
    gate.end()
    if (counted !== typed) t.fail(`round ${round}: ${typed} typed, ${counted} recorded`)
  }
})

const flood = (at: number) => Array.from({ length: 2000 }, (_, n) => (n === at ? 'ls -la' : 'x')).join('\r\n')

t.test('an echo is found at both edges of a flood of tiny lines, and its middle is not searched', (t) => {
  for (const [at, isFound] of [
    [5, true],
    [1990, true],
    [1000, false],
  ] as const) {
    const k = keyboard()
    k.type('ls -la')
    k.show(flood(at))
    t.equal(k.recorded[0] === 'i:ls -la', isFound, `line ${at}`)
  }
  t.end()
})
