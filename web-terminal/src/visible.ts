/** Text that people wrote, shown as it was written: what would hide, reorder or control is made visible. */

// oxlint-disable-next-line no-control-regex -- these are the characters that are looked for
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f]/g
const UNSEEN = /[\u0080-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]/gu

/** Tabs and line ends stay; other controls become their pictures (`␛`), marks that reorder or hide become `�`. */
export function visible(text: string): string {
  return text
    .replaceAll(CONTROLS, (control) => (control === '\x7f' ? '␡' : String.fromCharCode(0x2400 + control.charCodeAt(0))))
    .replaceAll(UNSEEN, '\ufffd')
}
