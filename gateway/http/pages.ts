/** The gateway's own pages on a target's name: no script, everything escaped, the look of the portal's plain pages. */
import { randomBytes } from 'node:crypto'

const STYLE = `
:root { color-scheme: light dark; --ink: #14191e; --soft: #4f5b67; --ground: #f6f8f9; --card: #fff; --line: #c3ccd4; --go: #0b6875; --on: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ea; --soft: #a7b2bd; --ground: #12171c; --card: #1a2128; --line: #45515c; --go: #54b0bc; --on: #12171c; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { width: 100%; max-width: 32rem; background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: 2rem; }
.brand { display: flex; gap: .6rem; align-items: center; margin: 0 0 1.5rem; font-weight: 650; }
.brand svg { color: var(--go); }
h1 { margin: 0 0 .5rem; font-size: 1.35rem; line-height: 1.25; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9rem; }
a.button { display: block; margin-top: 1rem; padding: .65rem 1rem; border: 1px solid var(--go); border-radius: .25rem; color: var(--go); text-align: center; text-decoration: none; font-weight: 600; }
a.button:hover, a.button:focus-visible { background: var(--go); color: var(--on); }
`

/** Two gates in a wall; the inner one is closed. The same as the portal's. */
const MARK = `<svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linejoin="round" stroke-linecap="round"><path d="M3 29V8h4V4h4v4h3V4h4v4h3V4h4v4h4v21"/><path d="M8.5 29V20a7.5 7.5 0 0 1 15 0v9"/><path d="M12.6 29v-8.4a3.4 3.4 0 0 1 6.8 0V29z" fill="currentColor" stroke="none"/></svg>`

export type Page = {
  readonly title: string
  /** Paragraphs. */
  readonly text: readonly string[]
  readonly links?: readonly { readonly label: string; readonly href: string }[]
  readonly small?: string | undefined
  /** Seconds after which the browser looks again. */
  readonly refresh?: number | undefined
}

/** New for every answer. */
export const newNonce = (): string => randomBytes(16).toString('base64')

export const pagePolicy = (nonce: string): string =>
  `default-src 'none'; style-src 'nonce-${nonce}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

export function html(page: Page, nonce: string): string {
  const links = (page.links ?? []).map(
    (link) => `<a class="button" href="${escape(link.href)}">${escape(link.label)}</a>`,
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${page.refresh === undefined ? '' : `<meta http-equiv="refresh" content="${page.refresh}">`}
<title>${escape(page.title)} · Sallyport</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${STYLE}</style>
</head>
<body><main>
<p class="brand">${MARK}Sallyport</p>
<h1>${escape(page.title)}</h1>
${page.text.map((text) => `<p>${escape(text)}</p>`).join('\n')}
${links.join('\n')}
${page.small === undefined ? '' : `<p class="soft">${escape(page.small)}</p>`}
</main></body>
</html>
`
}

const escape = (text: string): string =>
  text.replace(/\p{Cc}/gu, '\ufffd').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
