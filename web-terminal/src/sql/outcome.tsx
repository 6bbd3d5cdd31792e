/** What became of a statement: the verdict in place, notices, results in tabs, or the plan. */
import { Alert, Code, Tabs, Text } from '@mantine/core'
import { words } from '../strings/strings.ts'
import { Grid } from './grid.tsx'
import { PlanView } from './plan.tsx'
import type { Result, Run, SqlError } from './sql-line.ts'

/** SQLSTATEs in which the gateway says no by the rules of a role. */
const VERDICTS: ReadonlySet<string> = new Set(['25006', '42501'])

export function Outcome(props: { readonly run: Run | undefined; readonly isPlan: boolean }): React.JSX.Element {
  const { run, isPlan } = props
  if (run === undefined)
    return (
      <div className="empty">
        <Text fw={600}>{words.sql.nothingYet}</Text>
        <Text size="sm" c="var(--quiet)">
          {words.sql.recorded}
        </Text>
      </div>
    )
  const shown = run.results.filter(({ columns }) => columns.length > 0)
  return (
    <div className="sql-outcome">
      <Status run={run} />
      {run.notices.map(({ text, hint }, at) => (
        // oxlint-disable-next-line react/no-array-index-key -- they only grow
        <Alert key={at} color="petrol" variant="light" p="xs">
          {text} {hint}
        </Alert>
      ))}
      {run.error !== undefined && <Why error={run.error} />}
      {isPlan && run.end !== undefined && run.error === undefined ? (
        <PlanView json={run.results[0]?.rows.map((row) => row[0] ?? '').join('\n') ?? ''} />
      ) : shown.length === 1 && shown[0] !== undefined ? (
        <Grid key={run.id} result={shown[0]} rows={shown[0].rows.length} />
      ) : (
        shown.length > 1 && <Several key={run.id} results={shown} />
      )}
    </div>
  )
}

function Status({ run }: { readonly run: Run }): React.JSX.Element {
  const { end } = run
  const tags = run.results.map(({ tag }) => tag).filter((tag) => tag !== undefined)
  return (
    <output className="sql-status tabular">
      {end === undefined && <span>{words.sql.running}…</span>}
      {end !== undefined && run.error === undefined && <span>{tags.join(' · ') || words.sql.done}</span>}
      {run.rows > 0 && run.form === 'rows' && <span>{words.sql.rows(run.rows)}</span>}
      {run.form !== 'rows' && end !== undefined && run.error === undefined && <span>{words.sql.saved(run.rows)}</span>}
      {end !== undefined && <span>{words.sql.took(end.ms)}</span>}
      {end?.isCut === true && <b>{words.sql.cut}</b>}
    </output>
  )
}

function Why({ error }: { readonly error: SqlError }): React.JSX.Element {
  const isVerdict = VERDICTS.has(error.code)
  return (
    <Alert
      color={isVerdict ? 'orange' : 'red'}
      variant="light"
      role="alert"
      title={`${isVerdict ? words.sql.refused : words.sql.failed}: ${error.text}`}
    >
      {error.detail !== null && <Text size="sm">{error.detail}</Text>}
      {error.hint !== null && <Text size="sm">{error.hint}</Text>}
      <Code>{error.code}</Code>
    </Alert>
  )
}

function Several({ results }: { readonly results: readonly Result[] }): React.JSX.Element {
  return (
    <Tabs defaultValue="0" keepMounted={false}>
      <Tabs.List aria-label={words.sql.results}>
        {results.map((_, at) => (
          // oxlint-disable-next-line react/no-array-index-key -- they only grow
          <Tabs.Tab key={at} value={String(at)}>
            {words.sql.resultOf(at + 1)}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {results.map((result, at) => (
        // oxlint-disable-next-line react/no-array-index-key -- they only grow
        <Tabs.Panel key={at} value={String(at)}>
          <Grid result={result} rows={result.rows.length} />
        </Tabs.Panel>
      ))}
    </Tabs>
  )
}
