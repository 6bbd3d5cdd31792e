/** The pages of the demo identity provider: plain HTML that works without scripts, with a keyboard and with a screen reader. */

export const STYLE_PATH = '/demo-idp.css'

export const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --ground: #eef1f5; --line: #6b7684; --blue: #1a56c4; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #1f2329; --ground: #121519; --line: #8b96a5; --blue: #8ab4f8; --bad: #f2b8b5 } }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { width: min(22rem, 100vw - 2rem); box-sizing: border-box; padding: 2rem; border-radius: 12px; background: var(--paper); box-shadow: 0 1px 8px #0003 }
h1 { margin: 0 0 .25rem; font-size: 1.4rem }
p { margin: 0 0 1rem }
label { display: block; margin-top: 1rem; font-weight: 600 }
small { display: block; font-weight: 400 }
input { display: block; width: 100%; box-sizing: border-box; margin-top: .25rem; padding: .6rem; border: 1px solid var(--line); border-radius: 6px; background: transparent; color: inherit; font: inherit }
button { width: 100%; margin-top: 1.5rem; padding: .7rem; border: 0; border-radius: 6px; background: var(--blue); color: var(--paper); font: inherit; font-weight: 600; cursor: pointer }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 2px }
[role=alert] { color: var(--bad); font-weight: 600 }
`

const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (symbol) => `&#${symbol.charCodeAt(0)};`)

/** `inner` is HTML. */
function page(title: string, inner: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(title)} · Demo sign-in</title><link rel="stylesheet" href="${STYLE_PATH}"></head>
<body><main><h1>${escaped(title)}</h1>${inner}</main></body>
</html>
`
}

export function signInPage(ask: {
  readonly action: string
  readonly user: string
  readonly failure: string | undefined
}): string {
  const alert = ask.failure === undefined ? '' : `<p role="alert">${escaped(ask.failure)}</p>`
  const at = (name: string) => ((name === 'user') === (ask.user === '') ? ' autofocus' : '')
  return page(
    'Sign in',
    `<p>The demo identity provider of Sallyport.</p>${alert}
<form method="post" action="${escaped(ask.action)}">
<label for="user">User name</label><input id="user" name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required value="${escaped(ask.user)}"${at('user')}>
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required${at('password')}>
<label for="otp">One-time code<small>Six digits from your authenticator. Leave it empty if you have none.</small></label><input id="otp" name="otp" inputmode="numeric" autocomplete="one-time-code" pattern="[0-9]{6}" maxlength="6">
<button>Sign in</button>
</form>`,
  )
}

/** `form` is the provider's own, with its token against forgery. */
export const signOutPage = (form: string): string =>
  page(
    'Sign out?',
    `<p>You will have to sign in again everywhere.</p>${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`,
  )

export const signedOutPage = (): string => page('Signed out', '<p>You can close this page.</p>')

export const failurePage = (what: string): string => page('That did not work', `<p role="alert">${escaped(what)}</p>`)
