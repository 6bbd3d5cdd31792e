/** What the gateway's own pages on a target's name say; what they look like is the portal's affair. */

export type Page = {
  readonly title: string
  /** Paragraphs. */
  readonly text: readonly string[]
  readonly links?: readonly { readonly label: string; readonly href: string }[]
  readonly small?: string | undefined
  /** Seconds after which the browser looks again. */
  readonly refresh?: number | undefined
}

/** No script, everything escaped; `policy` is its Content-Security-Policy, made for this one answer. */
export type Draw = (page: Page) => { readonly html: string; readonly policy: string }
