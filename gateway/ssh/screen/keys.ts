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
  | { readonly kind: 'kill-line' | 'kill-word' | 'tab' | 'other' }

const CONTROLS: Readonly<Record<number, Key['kind']>> = {
  0x01: 'home',
  0x03: 'interrupt',
  0x04: 'end',
  0x05: 'last',
  0x08: 'backspace',
  0x09: 'tab',
  0x0a: 'enter',
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
  const found = /^[[O][0-9;]*([@-~])/.exec(text.slice(1))
  if (found !== null) return [plainKey(ARROWS[found[1] ?? ''] ?? 'other'), found[0].length + 1]
  return bytes.length >= 2 && text[1] !== '\u001b' && text[1] !== '[' && text[1] !== 'O'
    ? [{ kind: 'other' }, 2]
    : [{ kind: 'escape' }, 1]
}

const plainKey = (kind: Key['kind']): Key => (kind === 'text' ? { kind: 'other' } : { kind })
