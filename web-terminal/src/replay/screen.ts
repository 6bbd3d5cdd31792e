/** The screen of a replay: xterm.js behind the sanitiser. It takes no keys, answers nothing, follows no link. */
import '@xterm/xterm/css/xterm.css'
import { Terminal } from '@xterm/xterm'
import type { Size } from './cast.ts'
import { Sanitiser, type Tricks } from './sanitise.ts'

const SCROLLBACK = 2000
/** Width of a character of the usual monospace fonts, in parts of the font size. */
const CHARACTER = 0.61
const SMALLEST = 7
const LARGEST = 15
/** Room around the characters, both sides together. */
const PADDING = 26

export class Screen {
  readonly #terminal: Terminal
  readonly #host: HTMLElement
  readonly #observer: ResizeObserver
  #size: Size
  #sanitiser: Sanitiser
  #tricks: Partial<Record<keyof Tricks, number>> = {}

  constructor(host: HTMLElement, options: { readonly size: Size; readonly isPlain: boolean }) {
    const { size, isPlain } = options
    this.#host = host
    this.#size = size
    this.#sanitiser = new Sanitiser(size.columns, size.rows)
    this.#terminal = new Terminal({
      cols: size.columns,
      rows: size.rows,
      disableStdin: true,
      convertEol: isPlain,
      scrollback: SCROLLBACK,
      cursorInactiveStyle: 'outline',
      // Text in the colour of its background would hide from an auditor.
      minimumContrastRatio: 4.5,
      fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace',
      fontSize: 13,
      theme: { background: '#10151a', foreground: '#d7dde3', cursor: '#7fb8c2' },
      // The only links a terminal would make by itself are those of OSC 8, which do not get here; if one did, it does nothing.
      linkHandler: { activate: () => undefined },
    })
    this.#terminal.open(host)
    // Keys belong to the page: nothing is typed here, and Tab goes on to the next control.
    this.#terminal.attachCustomKeyEventHandler(() => false)
    const { textarea } = this.#terminal
    if (textarea !== undefined) {
      textarea.tabIndex = -1
      textarea.setAttribute('aria-hidden', 'true')
      textarea.readOnly = true
    }
    this.#observer = new ResizeObserver(() => this.#fit())
    this.#observer.observe(host)
    this.#fit()
  }

  /** What was held back since the last {@link clear}. */
  get tricks(): Tricks {
    return this.#tricks
  }

  /** Resolves when it is drawn, or `isStale`. Long output is drawn in pieces, with rests for the page between them. */
  async write(output: string, isStale: () => boolean): Promise<void> {
    for (const piece of this.#sanitiser.push(output)) {
      if (isStale()) break
      await new Promise<void>((resolve) => this.#terminal.write(piece, resolve))
    }
    this.#tricks = this.#sanitiser.tricks
  }

  resize(size: Size): void {
    this.#size = size
    this.#sanitiser.resize(size.columns, size.rows)
    this.#terminal.resize(size.columns, size.rows)
    this.#fit()
  }

  clear(size: Size): void {
    this.#terminal.reset()
    this.#sanitiser = new Sanitiser(size.columns, size.rows)
    this.resize(size)
  }

  /** What stands on the screen now, as lines. */
  text(): string {
    const { active } = this.#terminal.buffer
    const lines = Array.from(
      { length: this.#size.rows },
      (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? '',
    )
    return lines.join('\n').trimEnd()
  }

  dispose(): void {
    this.#observer.disconnect()
    this.#terminal.dispose()
  }

  #fit(): void {
    const room = this.#host.clientWidth - PADDING
    if (room <= 0) return
    const fontSize = Math.floor((room / (this.#size.columns * CHARACTER)) * 2) / 2
    const wanted = Math.max(SMALLEST, Math.min(LARGEST, fontSize))
    if (this.#terminal.options.fontSize !== wanted) this.#terminal.options.fontSize = wanted
  }
}
