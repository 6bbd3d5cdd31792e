/** Whose page is asking: targets are siblings, so browsers send our cookie along with what one target's page asks of another. */
import { Refusal } from '../model/refusal.ts'
import type { HttpEndpoint } from '../model/target.ts'
import { type Asked, valueOf } from './asked.ts'
import type { Place } from './place.ts'

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * WebSockets and everything that changes something come from the target's own pages (or from origins that the config names);
 * pages of others may link here, and nothing else. Programs that are no browsers say neither `Origin` nor `Sec-Fetch-Site`.
 *
 * @throws {Refusal} NOT_ALLOWED.
 */
export function fromOwnPages(
  asked: Asked,
  place: Place,
  endpoint: Pick<HttpEndpoint, 'origins'>,
  kind: 'request' | 'websocket',
): void {
  const { fields, method } = asked
  const origin = valueOf(fields, 'origin')
  const site = valueOf(fields, 'sec-fetch-site')
  const isKnown = origin !== undefined && (origin === place.origin || endpoint.origins?.includes(origin) === true)
  if (kind === 'websocket') {
    if (!isKnown) throw foreign()
    return
  }
  // Unforgeable for scripts; pages that tell no referrer send `Origin: null` to themselves.
  if (isKnown || site === 'same-origin' || site === 'none') return
  if (origin === undefined && site === undefined && !fields.some(([name]) => name === 'origin')) return
  if (SAFE.has(method) && (site === undefined || isLink(asked))) return
  throw foreign()
}

/** Somebody followed a link from elsewhere. */
const isLink = ({ fields, method }: Asked): boolean =>
  method !== 'OPTIONS' && valueOf(fields, 'sec-fetch-mode') === 'navigate'

const foreign = (): Refusal =>
  new Refusal('NOT_ALLOWED', 'This call came from a page of another site.', {
    next: "Open the application's own page.",
  })
