/** Plain pages, for when the application cannot run and on the names of web targets: no script, one look, everything escaped. */
import { randomBytes } from 'node:crypto'
import type { Denial } from './deny.ts'
import { pagePolicy } from './headers.ts'

const STYLE = `
:root { color-scheme: light dark; --ink: #14191e; --soft: #4f5b67; --ground: #f6f8f9; --card: #fff; --line: #c3ccd4; --go: #0b6875; --on: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ea; --soft: #a7b2bd; --ground: #12171c; --card: #1a2128; --line: #45515c; --go: #54b0bc; --on: #12171c; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { width: 100%; max-width: 30rem; background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: 2rem; }
.brand { display: flex; gap: .6rem; align-items: center; margin: 0 0 1.5rem; font-weight: 650; }
.brand svg { color: var(--go); }
h1 { margin: 0 0 .5rem; font-size: 1.35rem; line-height: 1.25; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9rem; }
a.button { display: block; margin-top: 1rem; padding: .65rem 1rem; border: 1px solid var(--go); border-radius: .25rem; color: var(--go); text-align: center; text-decoration: none; font-weight: 600; }
label { display: block; margin-top: 1rem; font-weight: 600; }
fieldset { margin: 1rem 0 0; padding: 0; border: 0; }
legend { padding: 0; font-weight: 600; }
label.choice { margin-top: .5rem; padding: .55rem .65rem; border: 1px solid var(--line); border-radius: .25rem; cursor: pointer; }
label.choice input { accent-color: var(--go); }
label small { display: block; font-weight: 400; color: var(--soft); }
input:not([type=radio]) { width: 100%; margin-top: .25rem; padding: .55rem; border: 1px solid var(--line); border-radius: .25rem; background: var(--ground); color: inherit; font: inherit; }
button { width: 100%; margin-top: 1.5rem; padding: .65rem 1rem; border: 0; border-radius: .25rem; background: var(--go); color: var(--on); font: inherit; font-weight: 600; cursor: pointer; }
[role=alert] { color: #b3261e; font-weight: 600; }
@media (prefers-color-scheme: dark) { [role=alert] { color: #f2b8b5; } }
:focus-visible { outline: 3px solid var(--go); outline-offset: 2px; }
a.button:hover, a.button:focus-visible { background: var(--go); color: var(--on); }
`

/** Two gates in a wall; the inner one is closed. The same as the console's. */
const MARK = `<svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linejoin="round" stroke-linecap="round"><path d="M3 29V8h4V4h4v4h3V4h4v4h3V4h4v4h4v21"/><path d="M8.5 29V20a7.5 7.5 0 0 1 15 0v9"/><path d="M12.6 29v-8.4a3.4 3.4 0 0 1 6.8 0V29z" fill="currentColor" stroke="none"/></svg>`

export type Page = {
  readonly title: string
  /** Paragraphs. */
  readonly text: readonly string[]
  readonly links?: readonly { readonly label: string; readonly href: string }[]
  readonly small?: string | undefined
  /** HTML, escaped already: stands after the text. */
  readonly form?: string
  /** Where the browser goes at once. */
  readonly onward?: string
  /** Seconds after which it looks again. */
  readonly refresh?: number | undefined
}

/** A page without a form, and its policy. For the names of web targets. */
export function drawPage(page: Omit<Page, 'form' | 'onward'>): { readonly html: string; readonly policy: string } {
  const nonce = randomBytes(16).toString('base64')
  return { html: html(page, nonce), policy: pagePolicy(nonce) }
}

/** `nonce` goes with the policy of {@link file://./headers.ts}. */
export function html(page: Page, nonce: string): string {
  const links = (page.links ?? []).map(
    (link) => `<a class="button" href="${escape(link.href)}">${escape(link.label)}</a>`,
  )
  const small = page.small === undefined ? '' : `<p class="soft">${escape(page.small)}</p>`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
${page.onward === undefined ? '' : `<meta http-equiv="refresh" content="0; url=${escape(page.onward)}">\n`}${page.refresh === undefined ? '' : `<meta http-equiv="refresh" content="${page.refresh}">\n`}<title>${escape(page.title)} · Sallyport</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${STYLE}</style>
</head>
<body><main>
<p class="brand">${MARK}Sallyport</p>
<h1>${escape(page.title)}</h1>
${page.text.map((text) => `<p>${escape(text)}</p>`).join('\n')}
${page.form ?? ''}${links.join('\n')}
${small}
</main></body>
</html>
`
}

export const refusalPage = ({ status, body }: Denial, signIn: string | undefined): Page => ({
  title: TITLES[status] ?? (status < 500 ? 'This was refused' : 'Something broke'),
  text: [body.error.message, ...(body.error.next === null ? [] : [body.error.next])],
  links: signIn === undefined ? [] : [{ label: 'Sign in', href: signIn }],
  small: `Reference ${body.error.reference}`,
})

const TITLES: Readonly<Record<number, string>> = {
  401: 'You are not signed in',
  403: 'This was refused',
  404: 'There is nothing here',
  429: 'Too many tries',
  503: 'Not available at the moment',
}

export const escape = (text: string): string =>
  text.replace(/\p{Cc}/gu, '\ufffd').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
