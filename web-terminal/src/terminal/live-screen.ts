/** The screen of a live shell: xterm.js behind the sanitiser, with keys, mouse, search and links. It knows nothing of the line. */
import '@xterm/xterm/css/xterm.css'
import { FitAddon } from '@xterm/addon-fit'
import { SearchAddon } from '@xterm/addon-search'
import { UnicodeGraphemesAddon } from '@xterm/addon-unicode-graphemes'
import { WebLinksAddon } from '@xterm/addon-web-links'
import { type ITheme, Terminal } from '@xterm/xterm'
import { Sanitiser } from '../replay/sanitise.ts'
import { liveLiberties } from './liberties.ts'
import type { Size } from './line.ts'
import type { Settings } from './settings.ts'

const SCROLLBACK = 10_000
const FIRST: Size = { columns: 80, rows: 24 }

export type ScreenParts = {
  readonly host: HTMLElement
  readonly settings: Settings
  readonly isDark: boolean
  readonly input: (bytes: Uint8Array) => void
  readonly resized: (size: Size) => void
  /** True: the key is ours, and goes nowhere else. */
  readonly key: (event: KeyboardEvent) => boolean
  readonly link: (address: string) => void
  readonly title: (text: string) => void
}

const encoder = new TextEncoder()

export class LiveScreen {
  readonly #terminal: Terminal
  readonly #fit = new FitAddon()
  readonly #search = new SearchAddon()
  readonly #parts: ScreenParts
  readonly #observer: ResizeObserver
  readonly #sanitiser: Sanitiser
  readonly #decoder = new TextDecoder()
  /** Pieces are drawn in order, one batch of output after the other. */
  #drawing = Promise.resolve()
  #isOld = false
  #isGone = false

  constructor(parts: ScreenParts) {
    this.#parts = parts
    this.#sanitiser = new Sanitiser(
      FIRST.columns,
      FIRST.rows,
      liveLiberties({ now: () => performance.now(), mayAnswer: () => !this.#isOld, title: parts.title }),
    )
    this.#terminal = new Terminal({
      cols: FIRST.columns,
      rows: FIRST.rows,
      allowProposedApi: true,
      scrollback: SCROLLBACK,
      minimumContrastRatio: 4.5,
      fontFamily: 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace',
      fontSize: parts.settings.fontSize,
      screenReaderMode: parts.settings.isRead,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      theme: colours(parts.isDark),
      // Links of OSC 8 do not get here; if one did, it is asked about like the others.
      linkHandler: { activate: (_event, address) => parts.link(address) },
    })
    this.#terminal.loadAddon(this.#fit)
    this.#terminal.loadAddon(this.#search)
    this.#terminal.loadAddon(new UnicodeGraphemesAddon())
    this.#terminal.loadAddon(new WebLinksAddon((_event, address) => parts.link(address)))
    this.#terminal.attachCustomKeyEventHandler((event) => !parts.key(event))
    this.#terminal.onData((text) => parts.input(encoder.encode(text)))
    this.#terminal.onBinary((text) => parts.input(Uint8Array.from(text, (character) => character.charCodeAt(0))))
    this.#terminal.onResize(({ cols: columns, rows }) => {
      this.#sanitiser.resize(columns, rows)
      parts.resized({ columns, rows })
    })
    this.#terminal.open(parts.host)
    if (parts.settings.isFast && !parts.settings.isRead) void this.#drawFast()
    this.#observer = new ResizeObserver(() => this.fit())
    this.#observer.observe(parts.host)
    this.fit()
  }

  get size(): Size {
    return { columns: this.#terminal.cols, rows: this.#terminal.rows }
  }

  get selection(): string {
    return this.#terminal.getSelection()
  }

  /** Long output is drawn in pieces, with rests for the page between them. `isOld`: nothing in it is answered. */
  write(bytes: Uint8Array, isOld: boolean, drawn: () => void): void {
    const before = this.#drawing
    const draw = async (): Promise<void> => {
      await before
      if (this.#isGone) return
      this.#isOld = isOld
      for (const piece of this.#sanitiser.push(this.#decoder.decode(bytes, { stream: true })))
        await new Promise<void>((resolve) => this.#terminal.write(piece, resolve))
      drawn()
    }
    this.#drawing = draw()
  }

  /** A host may not have sent what ends a mode; keys of a new shell begin plain. */
  reset(): void {
    this.#terminal.reset()
  }

  apply({ fontSize, isRead }: Settings, isDark: boolean): void {
    const { options } = this.#terminal
    if (options.fontSize !== fontSize) options.fontSize = fontSize
    if (options.screenReaderMode !== isRead) options.screenReaderMode = isRead
    options.theme = colours(isDark)
    this.fit()
  }

  fit(): void {
    // A tab that is not shown has no size.
    if (this.#parts.host.clientWidth > 0 && this.#parts.host.clientHeight > 0) this.#fit.fit()
  }

  focus(): void {
    this.#terminal.focus()
  }

  /** As keys would, inside the marks of a paste where the program asked for them. */
  paste(text: string): void {
    this.#terminal.paste(text)
  }

  find(text: string, where: 'next' | 'before'): boolean {
    const options = { incremental: where === 'next', decorations: FOUND }
    return where === 'next' ? this.#search.findNext(text, options) : this.#search.findPrevious(text, options)
  }

  endSearch(): void {
    this.#search.clearDecorations()
    this.#terminal.clearSelection()
  }

  dispose(): void {
    this.#isGone = true
    this.#observer.disconnect()
    this.#terminal.dispose()
  }

  /** Where the graphics do not allow it, or are lost, the plain way goes on. */
  async #drawFast(): Promise<void> {
    try {
      const { WebglAddon } = await import('@xterm/addon-webgl')
      if (this.#isGone) return
      const addon = new WebglAddon()
      addon.onContextLoss(() => addon.dispose())
      this.#terminal.loadAddon(addon)
    } catch {
      this.#terminal.refresh(0, this.#terminal.rows - 1)
    }
  }
}

const FOUND = { matchOverviewRuler: '#9a5b00', activeMatchColorOverviewRuler: '#d97706' }

const colours = (isDark: boolean): ITheme =>
  isDark
    ? { background: '#10151a', foreground: '#d7dde3', cursor: '#7fb8c2', selectionBackground: '#2f5560' }
    : {
        background: '#ffffff',
        foreground: '#1b2229',
        cursor: '#0b6875',
        selectionBackground: '#b9dde3',
        ...DARK_ON_LIGHT,
      }

const DARK_ON_LIGHT: ITheme = {
  black: '#1b2229',
  red: '#b42318',
  green: '#1b7a3d',
  yellow: '#8a5200',
  blue: '#1f5fbf',
  magenta: '#8b3fa8',
  cyan: '#0b6875',
  white: '#5b6671',
  brightBlack: '#5b6671',
  brightRed: '#c8372b',
  brightGreen: '#23843f',
  brightYellow: '#946000',
  brightBlue: '#2f6fd0',
  brightMagenta: '#9a4fb5',
  brightCyan: '#127a88',
  brightWhite: '#1b2229',
}
