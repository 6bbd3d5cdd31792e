/** What PostgreSQL would do, or did: the plan as a tree, with the share of each step. */
import { Alert, Text } from '@mantine/core'
import { words } from '../strings/strings.ts'

type Plan = {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Total Cost': number
  readonly 'Plan Rows': number
  readonly 'Actual Rows'?: number
  readonly 'Actual Total Time'?: number
  readonly 'Actual Loops'?: number
  readonly Filter?: string
  readonly 'Index Cond'?: string
  readonly 'Hash Cond'?: string
  readonly Plans?: readonly Plan[]
}

export function PlanView({ json }: { readonly json: string }): React.JSX.Element {
  const plan = planOf(json)
  if (plan === undefined) return <Alert color="orange">{words.sql.noPlan}</Alert>
  return (
    <ul className="sql-plan" aria-label={words.sql.plan}>
      <Step plan={plan} whole={weight(plan)} />
    </ul>
  )
}

function Step({ plan, whole }: { readonly plan: Plan; readonly whole: number }): React.JSX.Element {
  const children = plan.Plans ?? []
  const own = Math.max(0, weight(plan) - children.reduce((sum, child) => sum + weight(child), 0))
  const share = whole === 0 ? 0 : own / whole
  const on = [plan['Relation Name'], plan['Index Name']].filter((name) => name !== undefined).join(' · ')
  const condition = plan['Index Cond'] ?? plan['Hash Cond'] ?? plan.Filter
  const actual = plan['Actual Rows']
  return (
    <li>
      <div className="sql-step">
        <b>{plan['Node Type']}</b>
        {on !== '' && <span> {on}</span>}
        <Text component="span" size="xs" c="var(--quiet)" className="tabular">
          {actual === undefined
            ? words.sql.expects(rounded(plan['Plan Rows']))
            : words.sql.gave(rounded(actual), rounded(plan['Plan Rows']))}
          {plan['Actual Total Time'] === undefined ? '' : ` · ${plan['Actual Total Time'].toFixed(1)} ms`}
        </Text>
        {condition !== undefined && <code className="breaks">{condition}</code>}
        <meter className="sql-share" value={share} max={1} aria-label={words.sql.share(Math.round(share * 100))} />
      </div>
      {children.length > 0 && (
        <ul>
          {children.map((child, at) => (
            // oxlint-disable-next-line react/no-array-index-key -- a plan does not change
            <Step key={at} plan={child} whole={whole} />
          ))}
        </ul>
      )}
    </li>
  )
}

/** Time where it was measured, else the planner's own unit. */
const weight = (plan: Plan): number =>
  plan['Actual Total Time'] === undefined ? plan['Total Cost'] : plan['Actual Total Time'] * (plan['Actual Loops'] ?? 1)

const rounded = (rows: number): string => Math.round(rows).toLocaleString()

function planOf(json: string): Plan | undefined {
  try {
    const [first] = JSON.parse(json) as readonly { readonly Plan?: Plan }[]
    return first?.Plan
  } catch {
    return undefined
  }
}
