/** Bytes of a keyboard as keys. */

export type Key =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind:
        | 'enter'
        | 'backspace'
        | 'interrupt'
        | 'end'
        | 'escape'
        | 'up'
        | 'down'
        | 'left'
        | 'right'
        | 'home'
        | 'last'
    }
  | { readonly kind: 'kill-line' | 'kill-rest' | 'kill-word' | 'delete' | 'clear' | 'tab' | 'other' }

const CONTROLS: Readonly<Record<number, Key['kind']>> = {
  0x01: 'home',
  0x02: 'left',
  0x03: 'interrupt',
  0x04: 'end',
  0x05: 'last',
  0x06: 'right',
  0x08: 'backspace',
  0x09: 'tab',
  0x0a: 'enter',
  0x0b: 'kill-rest',
  0x0c: 'clear',
  0x0d: 'enter',
  0x10: 'up',
  0x0e: 'down',
  0x15: 'kill-line',
  0x17: 'kill-word',
  0x7f: 'backspace',
}

const ARROWS: Readonly<Record<string, Key['kind']>> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  H: 'home',
  F: 'last',
}

/** Keys that are a number and a tilde. */
const NUMBERED: Readonly<Record<string, Key['kind']>> = {
  '1': 'home',
  '3': 'delete',
  '4': 'last',
  '7': 'home',
  '8': 'last',
}

/** The first key, and how many bytes it took; undefined when more bytes are needed. A lone ESC at the end of what was sent is the Escape key. */
export function keyFrom(bytes: Uint8Array): readonly [Key | undefined, number] {
  const first = bytes[0]
  if (first === undefined) return [undefined, 0]
  if (first === 0x1b) return escapeKey(bytes)
  if (first < 0x20 || first === 0x7f) return [plainKey(CONTROLS[first] ?? 'other'), 1]
  const length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  if (bytes.length < length) return [undefined, 0]
  const text = Buffer.from(bytes.subarray(0, length)).toString('utf8')
  return [/\p{Cc}|\ufffd/u.test(text) ? { kind: 'other' } : { kind: 'text', text }, length]
}

function escapeKey(bytes: Uint8Array): readonly [Key | undefined, number] {
  const text = Buffer.from(bytes.subarray(0, 32)).toString('latin1')
  const found = /^[[O]([0-9;]*)([@-~])/.exec(text.slice(1))
  if (found !== null) {
    const [whole, number = '', final = ''] = found
    return [plainKey((final === '~' ? NUMBERED[number] : ARROWS[final]) ?? 'other'), whole.length + 1]
  }
  return bytes.length >= 2 && text[1] !== '\u001b' && text[1] !== '[' && text[1] !== 'O'
    ? [{ kind: 'other' }, 2]
    : [{ kind: 'escape' }, 1]
}

const plainKey = (kind: Key['kind']): Key => (kind === 'text' ? { kind: 'other' } : { kind })
