/** What the palette finds: pages, targets, what waits, live grants, the last sessions, and what can be done at once. */
import type { GrantView, TargetView, WaitingRequest } from '../../../gateway/portal/schema/access.ts'
import type { SessionView } from '../../../gateway/portal/schema/sessions.ts'
import { placeHref } from '../place.ts'
import { words } from '../strings/strings.ts'

export type Entry = {
  readonly key: string
  readonly kind: keyof typeof words.palette.kinds
  readonly label: string
  /** More words by which it is found. */
  readonly also: string
} & ({ readonly to: string } | { readonly copy: string } | { readonly run: () => void })

export type Known = {
  readonly targets: readonly TargetView[]
  readonly requests: readonly WaitingRequest[]
  readonly sessions: readonly SessionView[]
  readonly pages: readonly (readonly [href: string, label: string])[]
  readonly deeds: readonly (readonly [label: string, run: () => void])[]
}

/** Most useful first: what waits and what is live comes before what could be. */
export function entriesOf({ targets, requests, sessions, pages, deeds }: Known): readonly Entry[] {
  const live = targets.flatMap((target) =>
    target.grants.filter(({ state }) => state === 'live').map((grant) => ({ target, grant })),
  )
  return [
    ...requests.filter(({ grant }) => grant.may.approve).map(({ grant }) => decision(grant)),
    ...live.flatMap(({ target, grant }) => liveGrant(target, grant)),
    ...targets
      .filter(({ roles }) => roles.length > 0)
      .map(
        ({ name, description, labels }): Entry => ({
          key: `ask ${name}`,
          kind: 'target',
          label: words.home.askFor(name),
          also: [description, ...Object.entries(labels).flat()].join(' '),
          to: `/?ask=${encodeURIComponent(name)}`,
        }),
      ),
    ...pages.map(([href, label]): Entry => ({ key: href, kind: 'page', label, also: '', to: href })),
    ...sessions.map(
      ({ id, username, target, protocol, channel, command, end }): Entry => ({
        key: id,
        kind: 'session',
        label: `${words.session.title(username, target)}, ${words.protocol[protocol]} ${channel}`,
        also: `${command} ${end === null ? words.sessions.live : ''}`,
        to: `/sessions/${id}`,
      }),
    ),
    ...deeds.map(([label, run]): Entry => ({ key: label, kind: 'deed', label, also: '', run })),
  ]
}

const decision = (grant: GrantView): Entry => ({
  key: `decide ${grant.id}`,
  kind: 'request',
  label:
    grant.held === null
      ? `${grant.username} ${words.requests.asksFor} ${grant.role} ${words.requests.on} ${grant.target}`
      : words.held.label(grant.username, grant.held.verb, grant.target),
  also: `${grant.reason} ${grant.ticket} ${grant.id}`,
  to: `/requests/${grant.id}`,
})

function liveGrant(target: TargetView, grant: GrantView): readonly Entry[] {
  const also = `${target.name} ${grant.role} ${grant.id} ${grant.reason}`
  const base = { kind: 'grant', also } as const
  const place = { target: target.name, under: grant.id }
  const lines = target.commands.filter(({ endpoint }) => grant.endpoints.includes(endpoint))
  const own = lines.filter((line) => line.grant === grant.id)
  return [
    ...(grant.endpoints.includes('ssh')
      ? [
          {
            ...base,
            key: `terminal ${grant.id}`,
            label: words.terminal.openOn(target.name),
            to: placeHref('terminal', place),
          } as const,
        ]
      : []),
    ...(grant.endpoints.includes('postgres')
      ? [
          {
            ...base,
            key: `sql ${grant.id}`,
            label: `${words.sql.open}: ${target.name}`,
            to: placeHref('sql', place),
          } as const,
        ]
      : []),
    ...(own.length > 0 ? own : lines).map(
      ({ command }): Entry => ({ ...base, key: command, label: words.copy.copy(command), copy: command }),
    ),
    ...(['extend', 'release'] as const)
      .filter((deed) => grant.may[deed])
      .map(
        (deed): Entry => ({
          ...base,
          key: `${deed} ${grant.id}`,
          label: words.palette.grantDeed(words.grant[deed], grant.target, grant.role),
          to: `/grants/${grant.id}?do=${deed}`,
        }),
      ),
  ]
}

const MOST_SHOWN = 40

/** Every word must occur; what begins with the first one comes first. */
export function find(entries: readonly Entry[], query: string): readonly Entry[] {
  const wanted = query.toLowerCase().split(/\s+/).filter(Boolean)
  const fits = entries.filter(({ label, also }) => {
    const text = `${label} ${also}`.toLowerCase()
    return wanted.every((word) => text.includes(word))
  })
  const [first = ''] = wanted
  const begins = ({ label }: Entry): boolean => first !== '' && label.toLowerCase().startsWith(first)
  return [...fits.filter(begins), ...fits.filter((entry) => !begins(entry))].slice(0, MOST_SHOWN)
}
