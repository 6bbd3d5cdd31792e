/** Where a browser goes after its sign-in: a path of ours, never another site. */

/** Only its parser matters; it is never contacted. */
const NOWHERE = 'https://nowhere.invalid'
const MOST = 2048

/** The path, query and fragment as a browser would read them; `/` for everything that is not plainly a path of ours. */
export function pathOfOurs(text: string): string {
  if (text.length > MOST || !text.startsWith('/') || !URL.canParse(text, NOWHERE)) return '/'
  const url = new URL(text, NOWHERE)
  const path = url.pathname + url.search + url.hash
  // A path that begins with two slashes is another host to the browser that reads it next.
  return url.origin === NOWHERE && url.username === '' && !path.startsWith('//') ? path : '/'
}
