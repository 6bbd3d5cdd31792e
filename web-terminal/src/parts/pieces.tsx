/** Small things that many pages show: badges, a line to copy, chips for minutes, a list of facts. */
import { ActionIcon, Badge, Button, Chip, Group, Text } from '@mantine/core'
import { type ReactNode, useEffect, useState } from 'react'
import type { GrantView, RoleView } from '../../../gateway/portal/schema/access.ts'
import type { SessionView } from '../../../gateway/portal/schema/sessions.ts'
import { Icon } from '../mark.tsx'
import { words } from '../strings/strings.ts'
import { minutesWords } from '../time.tsx'

const grantColours = { requested: 'orange.7', approved: 'petrol.5', live: 'green.7', ended: 'gray.5' } as const

export function GrantState({ grant }: { readonly grant: GrantView }): React.JSX.Element {
  const bad = grant.endReason === 'denied' || grant.endReason === 'revoked' || grant.endReason === 'failed'
  return (
    <Badge variant="dot" color={bad ? 'red.7' : grantColours[grant.state]}>
      {grant.state === 'ended' && grant.endReason !== null
        ? words.grant.end[grant.endReason]
        : words.grant.state[grant.state]}
    </Badge>
  )
}

export function SessionState({ session }: { readonly session: SessionView }): React.JSX.Element {
  const { end } = session
  if (end === null)
    return (
      <Badge variant="dot" color="green.7" className="pulsing">
        {words.sessions.live}
      </Badge>
    )
  const bad = end.cause !== 'closed' && end.cause !== 'exited'
  return (
    <Badge variant="dot" color={bad ? 'red.7' : 'gray.5'}>
      {words.sessions.end[end.cause]}
    </Badge>
  )
}

/** Copies a text, and says so for a moment. */
function useCopy(text: string): { readonly copied: boolean; readonly copy: () => void } {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return undefined
    const timer = setTimeout(() => setCopied(false), 2000)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text)
    setCopied(true)
  }
  // Where a browser does not allow it, the text can still be marked by hand.
  return { copied, copy: () => void copy().catch(() => undefined) }
}

/** An address to send to somebody. */
export function CopyLink(props: { readonly label: string; readonly address: string }): React.JSX.Element {
  const { copied, copy } = useCopy(props.address)
  return (
    <Button
      size="xs"
      variant="default"
      leftSection={<Icon name={copied ? 'check' : 'copy'} size={14} />}
      onClick={copy}
      title={props.address}
    >
      {copied ? words.copy.copied : props.label}
    </Button>
  )
}

/** A line exactly as it is typed, with a button that copies it. */
export function CommandLine({ command }: { readonly command: string }): React.JSX.Element {
  const { copied, copy } = useCopy(command)
  return (
    <div className="command">
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard */}
      <code tabIndex={0}>{command}</code>
      <ActionIcon
        variant="subtle"
        size={32}
        aria-label={words.copy.copy(command)}
        title={words.copy.short}
        onClick={copy}
      >
        <Icon name={copied ? 'check' : 'copy'} size={16} />
      </ActionIcon>
      <output className="copied">{copied ? words.copy.copied : ''}</output>
    </div>
  )
}

const COMMON = [5, 15, 30, 60, 120, 240, 480]

/** The spans that are offered for a limit: a few common ones, and the limit itself. */
function spans(most: number, wanted: number): readonly number[] {
  const common = COMMON.filter((minutes) => minutes <= most && (minutes >= 15 || most < 15)).slice(0, 4)
  return [...new Set([...common, Math.min(wanted, most), most])].toSorted((a, b) => a - b)
}

export function Minutes(props: {
  readonly label: string
  readonly most: number
  /** Offered as well, when it is no common span. */
  readonly wanted: number
  readonly value: number
  readonly onChange: (minutes: number) => void
  readonly text?: string
}): React.JSX.Element {
  return (
    <div role="radiogroup" aria-label={props.label}>
      <Text component="div" size="sm" fw={500} mb={4}>
        {props.label}
      </Text>
      <Chip.Group value={String(props.value)} onChange={(value) => props.onChange(Number(value))}>
        <Group gap={8}>
          {spans(props.most, props.wanted).map((minutes) => (
            <Chip key={minutes} value={String(minutes)} radius="sm" variant="outline">
              {minutesWords(minutes)}
            </Chip>
          ))}
        </Group>
      </Chip.Group>
      {props.text !== undefined && (
        <Text size="xs" c="var(--quiet)" mt={6}>
          {props.text}
        </Text>
      )}
    </div>
  )
}

/** Names and values; empty values are left out. */
export function Facts({ rows }: { readonly rows: readonly (readonly [string, ReactNode])[] }): React.JSX.Element {
  return (
    <dl className="facts">
      {rows.map(([name, value]) =>
        value === '' || value === null || value === undefined ? null : (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ),
      )}
    </dl>
  )
}

/** What a role allows, endpoint by endpoint, in the gateway's plain words. `only`: the endpoints that count. */
export function Allows(props: {
  readonly label: string
  readonly scopes: RoleView['scopes']
  readonly only?: GrantView['endpoints']
}): React.JSX.Element | null {
  const scopes = props.scopes.filter(
    ({ endpoint, allows }) => allows.length > 0 && (props.only?.includes(endpoint) ?? true),
  )
  if (scopes.length === 0) return null
  return (
    <div>
      <Text component="div" size="sm" fw={500}>
        {props.label}
      </Text>
      <dl className="scopes">
        {scopes.map(({ endpoint, allows }) => (
          <div key={endpoint}>
            <dt>{words.protocol[endpoint]}</dt>
            {allows.map((sentence) => (
              <dd key={sentence}>{sentence}</dd>
            ))}
          </div>
        ))}
      </dl>
    </div>
  )
}
