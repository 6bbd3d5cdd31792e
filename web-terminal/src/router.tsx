/** Real paths without reloads: where we are, how to go elsewhere, and a link that does both. */
import { type AnchorHTMLAttributes, type MouseEvent, useEffect, useSyncExternalStore } from 'react'

const MOVED = 'sallyport:moved'

function subscribe(listener: () => void): () => void {
  addEventListener('popstate', listener)
  addEventListener(MOVED, listener)
  return () => {
    removeEventListener('popstate', listener)
    removeEventListener(MOVED, listener)
  }
}

export const usePath = (): string => useSyncExternalStore(subscribe, () => location.pathname)
export const useQuery = (): URLSearchParams =>
  new URLSearchParams(useSyncExternalStore(subscribe, () => location.search))

export function go(to: string, options: { readonly replace?: boolean } = {}): void {
  if (to === location.pathname + location.search) return
  if (options.replace === true) history.replaceState(null, '', to)
  else history.pushState(null, '', to)
  dispatchEvent(new Event(MOVED))
}

/** The values of `:name` parts, or undefined when the path is another one. */
export function match(pattern: string, path: string): Readonly<Record<string, string>> | undefined {
  const wanted = pattern.split('/')
  const given = path.replace(/(.)\/$/, '$1').split('/')
  if (wanted.length !== given.length) return undefined
  const values: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? ''
    if (!part.startsWith(':')) {
      if (part !== value) return undefined
    } else if (!/^[\w.~-]+$/.test(value)) return undefined
    else values[part.slice(1)] = value
  }
  return values
}

type LinkProps = AnchorHTMLAttributes<HTMLAnchorElement> & { readonly href: string }

export function Link({ href, children, ...rest }: LinkProps): React.JSX.Element {
  const follow = (event: MouseEvent<HTMLAnchorElement>): void => {
    rest.onClick?.(event)
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
    if (event.defaultPrevented || !plain) return
    event.preventDefault()
    go(href)
    scrollTo(0, 0)
  }
  return (
    <a {...rest} href={href} onClick={follow}>
      {children}
    </a>
  )
}

/** Names the page in the tab, and puts screen readers at its heading after a step from another page. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Sallyport`
  }, [title])
}
