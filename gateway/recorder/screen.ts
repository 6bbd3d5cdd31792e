/** What the output says about the screen: who draws, which line is last, what a person can see of a chunk. Sans-IO. */

/** How much of the last line is kept. */
const MAX_LINE = 256
/** So many bytes at once are a key's echo. */
const FEW = 16
/** Only the edges of a large chunk are compared with input. */
const MAX_COMPARED = 4_096

const ESC = 0x1b
const PRIVATE_MODE = Buffer.from('\u001b[?')

export class Screen {
  #paste = false
  #alternate = false
  /** The last line, and what was before it as far as there is room. */
  readonly #bytes = Buffer.allocUnsafe(2 * MAX_LINE)
  #length = 0
  #carry: Buffer = Buffer.alloc(0)
  #asked = false

  /** A line editor or a full-screen program is at work. */
  get drawsItself(): boolean {
    return this.#paste || this.#alternate
  }

  /** A question for a secret was seen since the last newline, outside of line editors. */
  get asked(): boolean {
    return this.#asked
  }

  /** The last line, as text without escape sequences. */
  get line(): string {
    return visible(this.#last()).toString('utf8')
  }

  /** Returns whether the chunk has a newline. */
  show(chunk: Buffer): boolean {
    // The echo of a key: somebody waits for it.
    if (chunk.length <= FEW && this.#carry.length === 0 && chunk.every(isPlain)) {
      this.#append(chunk)
      return false
    }
    const drew = this.drawsItself
    this.#modes(chunk)
    const newline = chunk.lastIndexOf(0x0a)
    const rest = chunk.subarray(Math.max(newline + 1, chunk.length - MAX_LINE))
    if (newline >= 0) {
      this.#asked = false
      this.#length = 0
    }
    this.#append(rest)
    // Without what can end a question there is no new one.
    if (!this.#asked && !this.drawsItself && (drew || rest.some(endsQuestion))) this.#asked = QUESTION.test(this.line)
    return newline >= 0
  }

  /** At most MAX_LINE bytes. */
  #append(rest: Buffer): void {
    if (this.#length + rest.length > this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#length - MAX_LINE, this.#length)
      this.#length = MAX_LINE
    }
    this.#bytes.set(rest, this.#length)
    this.#length += rest.length
  }

  #last(): Buffer {
    return this.#bytes.subarray(Math.max(0, this.#length - MAX_LINE), this.#length)
  }

  /** The last line may end as a question; false is certain. */
  get mayEndAsQuestion(): boolean {
    let last = this.#length - 1
    while (last >= 0 && isBlank(this.#bytes[last] ?? 0)) last -= 1
    return last >= 0 && (endsQuestion(this.#bytes[last] ?? 0) || this.#last().includes(ESC))
  }

  #modes(chunk: Buffer): void {
    if (this.#carry.length === 0 && !chunk.includes(ESC)) return
    const bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk])
    this.#carry = Buffer.alloc(0)
    for (let at = bytes.indexOf(PRIVATE_MODE); at >= 0; at = bytes.indexOf(PRIVATE_MODE, at + 3)) {
      let end = at + 3
      while (end < bytes.length && end < at + 40 && isParameter(bytes[end] ?? 0)) end += 1
      const final = bytes[end]
      if (final === undefined) continue
      if (final !== 0x68 && final !== 0x6c) continue
      for (const mode of bytes.toString('latin1', at + 3, end).split(';')) this.#set(mode, final === 0x68)
    }
    const escape = bytes.lastIndexOf(ESC)
    if (escape >= 0 && bytes.length - escape < 40 && isUnfinished(bytes.subarray(escape)))
      this.#carry = Buffer.from(bytes.subarray(escape))
  }

  #set(mode: string, on: boolean): void {
    if (mode === '2004') this.#paste = on
    if (mode === '1049' || mode === '47' || mode === '1047') this.#alternate = on
  }
}

const SECRETS =
  'pass[ -]?(?:word|phrase|code|wd)|passwort|kennwort|mot de passe|contrase(?:ñ|n)a|senha|密码|密碼|パスワード|пароль|\\bpin\\b|\\bcvv\\b|\\botp\\b|one[- ]time|verification|authenticat(?:or|ion)|security code|\\btoken\\b|secret|\\b[2m]fa\\b|api[ -]?key'
const QUESTION = new RegExp(`(?:${SECRETS})[^\\n]{0,80}[:：?>]`, 'iu')
const QUESTION_AT_END = new RegExp(`(?:${SECRETS})[^\\n]{0,80}[:：?>][ \\t]*$`, 'iu')

/** Whether what is typed now may be a secret. Where a line editor draws, only a line that ends as a question counts: prompts of shells have names in them. */
export const asksForSecret = (screen: Screen): boolean =>
  screen.asked || (screen.mayEndAsQuestion && QUESTION_AT_END.test(screen.line))

/** Of one byte: the end of `:`, `：`, `?` or `>`, or the begin of what may hide it. */
const endsQuestion = (byte: number): boolean =>
  byte === 0x3a || byte === 0x3f || byte === 0x3e || byte === 0x9a || byte === ESC

/** Of one byte: not seen, or a space. */
const isBlank = (byte: number): boolean => byte <= 0x20 || byte === 0x7f

/** Of one byte: moves nothing, hides nothing, asks nothing. */
const isPlain = (byte: number): boolean => byte >= 0x20 && !endsQuestion(byte)

/** The printable bytes of a chunk, line by line; `redrawn`: the program moved the cursor about, so more than the new character may be shown. */
export function visibleLines(chunk: Buffer): { readonly lines: readonly Buffer[]; readonly redrawn: boolean } {
  const parts =
    chunk.length > 2 * MAX_COMPARED
      ? [chunk.subarray(0, MAX_COMPARED), chunk.subarray(chunk.length - MAX_COMPARED)]
      : [chunk]
  const lines: Buffer[] = []
  for (const part of parts) {
    let start = 0
    for (let i = 0; i <= part.length; i++) {
      if (i < part.length && part[i] !== 0x0a && part[i] !== 0x0d) continue
      if (i > start) lines.push(visible(part.subarray(start, i)))
      start = i + 1
    }
  }
  return { lines, redrawn: chunk.includes(ESC) || chunk.includes(0x08) }
}

function visible(bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafe(bytes.length)
  let n = 0
  let i = 0
  while (i < bytes.length) {
    const byte = bytes[i] ?? 0
    if (byte === ESC) i += sequenceLength(bytes, i)
    else {
      if (byte >= 0x20 && byte !== 0x7f) out[n++] = byte
      i += 1
    }
  }
  return out.subarray(0, n)
}

/** Length of the escape sequence at `from`: CSI, a string (OSC, DCS, PM, APC, SOS) up to BEL or ST, a charset choice, or two bytes. */
function sequenceLength(bytes: Buffer, from: number): number {
  const second = bytes[from + 1]
  if (second === undefined) return 1
  let end = from + 2
  if (second === 0x5b) {
    while (end < bytes.length && ((bytes[end] ?? 0) < 0x40 || (bytes[end] ?? 0) > 0x7e)) end += 1
    return Math.min(end + 1, bytes.length) - from
  }
  if (second === 0x5d || second === 0x50 || second === 0x5e || second === 0x5f || second === 0x58) {
    while (end < bytes.length && bytes[end] !== 0x07 && bytes[end] !== ESC) end += 1
    return Math.min(bytes[end] === ESC ? end + 2 : end + 1, bytes.length) - from
  }
  return Math.min(second >= 0x20 && second <= 0x2f ? 3 : 2, bytes.length - from)
}

const isParameter = (byte: number): boolean => (byte >= 0x30 && byte <= 0x39) || byte === 0x3b

/** The beginning of a private mode sequence that the next chunk will end. */
function isUnfinished(tail: Buffer): boolean {
  if (tail.length <= PRIVATE_MODE.length) return PRIVATE_MODE.subarray(0, tail.length).equals(tail)
  return PRIVATE_MODE.equals(tail.subarray(0, 3)) && tail.subarray(3).every(isParameter)
}
