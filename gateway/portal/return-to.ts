/** Where a browser goes after it signed in: a path of ours, found by parsing, or the start page. */

const MOST = 2048

/** Never another origin, never a path that a browser would read as one. */
export function returnPath(text: string | undefined, publicUrl: URL): string {
  if (text === undefined || text.length > MOST) return '/'
  // Browsers drop tabs and line ends and read `\` as `/`; nothing of ours needs either.
  if (!/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(text)) return '/'
  const url = URL.parse(text, publicUrl.href)
  if (url === null || url.origin !== publicUrl.origin) return '/'
  // `/.//evil.example` parses to the path `//evil.example`.
  if (url.pathname.startsWith('//')) return '/'
  return url.pathname + url.search + url.hash
}
