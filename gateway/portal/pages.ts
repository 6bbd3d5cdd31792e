/** Plain pages for when the application cannot run: no script, one look, everything escaped. */
import type { Denial } from './deny.ts'

const STYLE = `
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6675; --ground: #f5f7f9; --card: #fff; --line: #d9dfe6; --go: #1c6b4a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ecf2; --soft: #9aa7b6; --ground: #12171d; --card: #1b222b; --line: #2f3945; --go: #5fc79a; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--ground); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { width: 100%; max-width: 30rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 2rem; }
.brand { margin: 0 0 1.5rem; font-weight: 650; letter-spacing: .01em; color: var(--go); }
h1 { margin: 0 0 .5rem; font-size: 1.35rem; line-height: 1.25; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .9rem; }
a.button { display: block; margin-top: 1rem; padding: .65rem 1rem; border: 1px solid var(--go); border-radius: .5rem; color: var(--go); text-align: center; text-decoration: none; font-weight: 600; }
a.button:hover, a.button:focus-visible { background: var(--go); color: var(--card); }
code { font: .9em ui-monospace, monospace; }
`

export type Page = {
  readonly title: string
  /** Paragraphs. */
  readonly text: readonly string[]
  readonly links?: readonly { readonly label: string; readonly href: string }[]
  readonly small?: string | undefined
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
<title>${escape(page.title)} · Sallyport</title>
<link rel="icon" href="data:,">
<style nonce="${nonce}">${STYLE}</style>
</head>
<body><main>
<p class="brand">Sallyport</p>
<h1>${escape(page.title)}</h1>
${page.text.map((text) => `<p>${escape(text)}</p>`).join('\n')}
${links.join('\n')}
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

const escape = (text: string): string =>
  text.replace(/\p{Cc}/gu, '\ufffd').replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
