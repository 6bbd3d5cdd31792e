/** The pages of administrators: one address for each part. */
import { Stack, Text, Title } from '@mantine/core'
import { NotFound } from '../parts/states.tsx'
import { Link, useTitle } from '../router.tsx'
import { words } from '../strings/strings.ts'
import { Agents } from './agents.tsx'
import { Health } from './health.tsx'
import { People } from './people.tsx'
import { Roles } from './roles.tsx'
import { Targets } from './targets.tsx'

const PARTS = { health: Health, people: People, targets: Targets, roles: Roles, agents: Agents } as const
type Part = keyof typeof PARTS

const hrefOf = (part: Part): string => (part === 'health' ? '/admin' : `/admin/${part}`)
const isPart = (name: string): name is Part => Object.hasOwn(PARTS, name)

export function Admin({ part }: { readonly part: string }): React.JSX.Element {
  return isPart(part) ? <Frame part={part} /> : <NotFound />
}

function Frame({ part }: { readonly part: Part }): React.JSX.Element {
  useTitle(`${words.admin.tabs[part]} · ${words.admin.title}`)
  const Shown = PARTS[part]
  return (
    <Stack gap="lg">
      <div>
        <Title order={1} className="page-title">
          {words.admin.title}
        </Title>
        <Text size="sm" c="var(--quiet)">
          {words.admin.recorded}
        </Text>
      </div>
      <nav aria-label={words.admin.tabsLabel} className="tabs">
        {Object.keys(PARTS)
          .filter(isPart)
          .map((name) => (
            <Link key={name} href={hrefOf(name)} aria-current={name === part ? 'page' : undefined}>
              {words.admin.tabs[name]}
            </Link>
          ))}
      </nav>
      <Shown />
    </Stack>
  )
}
