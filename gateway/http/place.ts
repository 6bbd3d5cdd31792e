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

/** Undefined for a host that is not a target's. */
export function placeOf(
  host: string | undefined,
  settings: Pick<HttpSettings, 'publicUrl' | 'domain'>,
): Place | undefined {
  const { port } = new URL(settings.publicUrl)
  const ending = `.${settings.domain}${port === '' ? '' : `:${port}`}`
  const plain = host?.toLowerCase().replace(/:443$/, port === '' ? '' : ':443')
  if (plain?.endsWith(ending) !== true) return undefined
  const target = plain.slice(0, -ending.length)
  return NAME.test(target) ? { target, origin: `https://${plain}`, host: plain } : undefined
}
