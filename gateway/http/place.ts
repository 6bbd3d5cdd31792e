/** Which target a host name means. Anything but exactly `<target>.<domain>` on our own port is nobody's. */
import type { HttpSettings } from './parts.ts'

export type Place = {
  /** The name only: whether there is such a target is not said to strangers. */
  readonly target: string
  /** `https://prod-web.gateway.example`, as browsers write it in `Origin`. */
  readonly origin: string
  /** As in `Host`. */
  readonly host: string
}

const NAME = /^[a-z][a-z0-9-]{0,62}$/

/** Answers undefined for a host that is not a target's. */
export function placesOf({
  publicUrl,
  domain,
}: Pick<HttpSettings, 'publicUrl' | 'domain'>): (host: string | undefined) => Place | undefined {
  const { port } = new URL(publicUrl)
  const ending = `.${domain}${port === '' ? '' : `:${port}`}`
  return (host) => {
    const lower = host?.toLowerCase()
    const plain = port === '' ? lower?.replace(/:443$/, '') : lower
    if (plain?.endsWith(ending) !== true) return undefined
    const target = plain.slice(0, -ending.length)
    return NAME.test(target) ? { target, origin: `https://${plain}`, host: plain } : undefined
  }
}
