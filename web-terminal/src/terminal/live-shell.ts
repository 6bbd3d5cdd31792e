/** One shell in the page: its screen, its line, and what the person is to be asked or told. Views of it never change in place. */
import { type Held, Line, type LineState } from './line.ts'
import { LiveScreen } from './live-screen.ts'
import { type Pasted, questionable } from './pasted.ts'
import { type Settings, settings } from './settings.ts'

export type ShellView = {
  readonly state: LineState
  readonly held: Held | undefined
  readonly title: string
  readonly notice: string | undefined
  readonly paste: Pasted | undefined
  readonly link: string | undefined
  readonly isSearching: boolean
}

export type ShellParts = {
  readonly host: HTMLElement
  readonly target: string
  /** Asked for each new shell. */
  readonly under: () => string | undefined
  /** Of a shell that this browser has already. */
  readonly token: string | undefined
  readonly csrf: () => string
  readonly isDark: boolean
  readonly isFast: boolean
  readonly tokenChanged: (token: string | undefined) => void
  readonly turnedAway: () => void
  /** The person wants out with the keyboard. */
  readonly escape: () => void
}

const encoder = new TextEncoder()

export class LiveShell {
  readonly #parts: ShellParts
  readonly #screen: LiveScreen
  readonly #listeners = new Set<() => void>()
  #line: Line
  #view: ShellView

  constructor(parts: ShellParts) {
    this.#parts = parts
    this.#view = {
      state: { kind: 'opening' },
      held: undefined,
      title: '',
      notice: undefined,
      paste: undefined,
      link: undefined,
      isSearching: false,
    }
    this.#screen = new LiveScreen({
      host: parts.host,
      settings: { ...settings(), isFast: parts.isFast },
      isDark: parts.isDark,
      input: (bytes) => this.#line.type(bytes),
      resized: (size) => this.#line?.resize(size),
      key: (event) => this.#key(event),
      link: (address) => this.#ask({ link: safeAddress(address) }),
      title: (title) => this.#ask({ title }),
    })
    this.#line = this.#open(parts.token)
    parts.host.addEventListener('paste', this.#pasted, true)
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  readonly view = (): ShellView => this.#view

  /** A new shell in the same place; `confirmation`: for a touch of a passkey. */
  again(confirmation?: string): void {
    this.#line.dispose()
    this.#screen.reset()
    this.#ask({ state: { kind: 'opening' }, held: undefined, title: '', notice: undefined })
    this.#line = this.#open(undefined, confirmation)
  }

  hurry(): void {
    this.#line.hurry()
  }

  bringBack(): void {
    this.#line.bringBack()
  }

  type(text: string): void {
    this.#line.type(encoder.encode(text))
    this.#screen.focus()
  }

  /** Answers what was asked about a paste. */
  paste(isWanted: boolean): void {
    const { paste } = this.#view
    this.#ask({ paste: undefined })
    if (isWanted && paste !== undefined && !paste.isTooLong) this.#screen.paste(paste.text)
    this.#screen.focus()
  }

  link(isWanted: boolean): void {
    const { link } = this.#view
    this.#ask({ link: undefined })
    if (isWanted && link !== undefined) window.open(link, '_blank', 'noopener,noreferrer')
    this.#screen.focus()
  }

  dismiss(): void {
    this.#ask({ notice: undefined })
  }

  search(isOn: boolean): void {
    this.#ask({ isSearching: isOn })
    if (isOn) return
    this.#screen.endSearch()
    this.#screen.focus()
  }

  find(text: string, where: 'next' | 'before'): boolean {
    return text === '' || this.#screen.find(text, where)
  }

  apply(wanted: Settings, isDark: boolean): void {
    this.#screen.apply(wanted, isDark)
  }

  focus(): void {
    this.#screen.focus()
  }

  fit(): void {
    this.#screen.fit()
  }

  /** The person is done with it. */
  leave(): void {
    this.#line.leave()
  }

  /** The page goes; the shell stays for a while. */
  dispose(): void {
    this.#parts.host.removeEventListener('paste', this.#pasted, true)
    this.#line.dispose()
    this.#screen.dispose()
  }

  #open(token: string | undefined, confirmation?: string): Line {
    const { csrf, target, tokenChanged, turnedAway, under } = this.#parts
    let isOpen = false
    const line: Line = new Line({
      target,
      under: under(),
      confirmation,
      shell: token,
      csrf,
      size: () => this.#screen.size,
      output: (bytes, isOld, drawn) => this.#screen.write(bytes, isOld, drawn),
      notice: (notice) => this.#ask({ notice }),
      changed: () => {
        if (this.#line !== line && isOpen) return
        tokenChanged(line.shell)
        this.#ask({ state: line.state, held: line.held })
        if (line.state.kind === 'open' && !isOpen) {
          isOpen = true
          // It may have been made smaller or larger since the size was told.
          line.resize(this.#screen.size)
        }
      },
      turnedAway,
    })
    return line
  }

  #ask(changes: Partial<ShellView>): void {
    this.#view = { ...this.#view, ...changes }
    for (const listener of this.#listeners) listener()
  }

  #key(event: KeyboardEvent): boolean {
    if (!event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return false
    const act = { KeyE: this.#parts.escape, KeyF: () => this.search(true), KeyC: () => this.#copy() }[event.code]
    if (act === undefined) return false
    event.preventDefault()
    if (event.type === 'keydown') act()
    return true
  }

  #copy(): void {
    const { selection } = this.#screen
    // A browser that does not let us keeps its own menu.
    if (selection !== '') void navigator.clipboard.writeText(selection).catch(() => undefined)
  }

  readonly #pasted = (event: ClipboardEvent): void => {
    event.preventDefault()
    event.stopPropagation()
    const { question, text } = questionable(event.clipboardData?.getData('text/plain') ?? '')
    if (question === undefined) this.#screen.paste(text)
    else this.#ask({ paste: question })
  }
}

/** Only what opens a page; anything else is not a link here. */
function safeAddress(address: string): string | undefined {
  const url = URL.parse(address)
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') && url.username === ''
    ? url.href
    : undefined
}
