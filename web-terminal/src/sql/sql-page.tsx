/** SQL on one target: an editor, results, plans, tables; through the gateway's own database door. */
import { Badge, Button, Group, Menu, Stack, Text, Title } from '@mantine/core'
import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react'
import type { Me } from '../../../gateway/portal/schema/person.ts'
import { useAnswer } from '../desk.tsx'
import { Loading } from '../parts/states.tsx'
import { useUnder } from '../place.ts'
import { go, useQuery, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { TimeLeft } from '../time.tsx'
import { type EditorHand, SqlEditor } from './editor.tsx'
import { Obstacle } from './obstacle.tsx'
import { Outcome } from './outcome.tsx'
import { type Form, type Hello, type Opened, SqlLine } from './sql-line.ts'
import './sql.css'
import { TableList } from './table-list.tsx'
import { namespaceOf, type Table, TABLES_SQL, tablesOf } from './tables.ts'

const MOST_HISTORY = 50

export function SqlPage({ target }: { readonly target: string }): React.JSX.Element {
  useTitle(words.sql.title(target))
  const me = useAnswer<Me>(routes.me)
  const query = useQuery()
  const under = useUnder()
  const [visit, setVisit] = useState<{ readonly n: number; readonly confirmation: string | undefined }>({
    n: 0,
    confirmation: undefined,
  })
  if (me.state !== 'ready') return <Loading rows={2} />
  const hello = {
    csrf: me.data.csrfToken,
    target,
    under,
    database: query.get('database') ?? undefined,
    confirmation: visit.confirmation,
  }
  const again = (confirmation?: string): void => setVisit(({ n }) => ({ n: n + 1, confirmation }))
  const onGrant = (id: string): void => {
    if (under === undefined) return again()
    const next = new URLSearchParams(query)
    next.delete('role')
    next.set('grant', id)
    return go(`/sql/${target}?${next.toString()}`, { replace: true })
  }
  const key = `${visit.n} ${query.toString()}`
  return <Console key={key} target={target} hello={hello} onAgain={again} onGrant={onGrant} />
}

function Console(props: {
  readonly target: string
  readonly hello: Hello
  readonly onAgain: (confirmation?: string) => void
  readonly onGrant: (id: string) => void
}): React.JSX.Element {
  const { target, hello, onAgain, onGrant } = props
  const [line] = useState(() => new SqlLine(hello))
  useEffect(() => {
    line.open()
    return () => line.close()
  }, [line])
  useSyncExternalStore(line.subscribe, () => line.version)
  const { state } = line
  return (
    <Stack gap="md">
      <Title order={1} className="page-title">
        {words.sql.title(target)}
      </Title>
      {state.at === 'connecting' && (
        <Text component="output" c="var(--quiet)">
          {words.sql.connecting}
        </Text>
      )}
      {(state.at === 'refused' || state.at === 'ended') && (
        <Obstacle target={target} {...state.why} under={hello.under} onAgain={onAgain} onGrant={onGrant} />
      )}
      {(state.at === 'open' || state.at === 'ended') && state.opened !== undefined && (
        <Bench target={target} line={line} opened={state.opened} isOpen={state.at === 'open'} />
      )}
    </Stack>
  )
}

function Bench(props: {
  readonly target: string
  readonly line: SqlLine
  readonly opened: Opened
  readonly isOpen: boolean
}): React.JSX.Element {
  const { line, opened, isOpen } = props
  const [hand, setHand] = useState<EditorHand>()
  const [tables, setTables] = useState<readonly Table[]>([])
  const [isPlan, setPlan] = useState(false)
  const [earlier, setEarlier] = useState<readonly string[]>([])
  const schema = useMemo(() => namespaceOf(tables), [tables])
  useEffect(() => {
    void line.run(TABLES_SQL).then((run) => setTables(tablesOf(run.results[0])))
  }, [line])
  const run = useCallback(
    async (form: Form, wantsPlan = false): Promise<void> => {
      const text = hand?.text()
      if (text === undefined || text.sql.trim() === '' || line.isRunning) return
      hand?.mark(undefined)
      setPlan(wantsPlan)
      setEarlier((before) => [text.sql, ...before.filter((sql) => sql !== text.sql)].slice(0, MOST_HISTORY))
      const prefix = wantsPlan ? 'explain (format json) ' : ''
      const done = await line.run(`${prefix}${text.sql}`, { form, isShown: true })
      const position = done.error?.position
      if (position !== undefined && position !== null) hand?.mark(text.from + position - 1 - prefix.length)
      if (form !== 'rows' && done.error === undefined)
        save(done.parts, `${props.target}.${form === 'csv' ? 'csv' : 'jsonl'}`)
    },
    [hand, line, props.target],
  )
  const onRun = useCallback(() => void run('rows'), [run])
  const onReady = useCallback((ready: EditorHand) => setHand(ready), [])
  const busy = line.isRunning
  return (
    <>
      <Facts line={line} opened={opened} />
      <div className="sql-bench">
        <TableList tables={tables} onName={(name) => hand?.insert(name)} />
        <div className="sql-main">
          <SqlEditor schema={schema} onRun={onRun} onReady={onReady} />
          <Group gap="xs" my="sm">
            <Button onClick={onRun} disabled={!isOpen || busy} aria-keyshortcuts="Control+Enter">
              {words.sql.run}
            </Button>
            <Button variant="default" onClick={() => line.cancel()} disabled={!busy}>
              {words.sql.stop}
            </Button>
            <Button variant="default" onClick={() => void run('rows', true)} disabled={!isOpen || busy}>
              {words.sql.explain}
            </Button>
            <span className="grow" />
            <Save opened={opened} isOpen={isOpen && !busy} onSave={(form) => void run(form)} />
            <Earlier statements={earlier} onChoose={(sql) => hand?.replace(sql)} />
          </Group>
          <Outcome run={line.shown} isPlan={isPlan} />
        </div>
      </div>
    </>
  )
}

function Facts({ line, opened }: { readonly line: SqlLine; readonly opened: Opened }): React.JSX.Element {
  const [from] = useState(() => new Date().toISOString())
  return (
    <Group gap="sm" className="sql-facts">
      <Badge variant="light" color="petrol" tt="none">
        {opened.role}
      </Badge>
      <Badge variant="dot" tt="none" color={opened.isReadOnly ? 'green.7' : 'orange.7'}>
        {opened.isReadOnly ? words.sql.readOnly : words.sql.readWrite}
      </Badge>
      <Text size="sm" c="var(--quiet)">
        {opened.database} · PostgreSQL {opened.version.split(' ')[0]}
      </Text>
      {line.status !== 'I' && (
        <Badge variant="light" tt="none" color={line.status === 'E' ? 'red' : 'orange.9'}>
          {line.status === 'E' ? words.sql.inFailed : words.sql.inTransaction}
        </Badge>
      )}
      <span className="grow" />
      <TimeLeft from={from} until={opened.expiresAt} />
    </Group>
  )
}

function Save(props: {
  readonly opened: Opened
  readonly isOpen: boolean
  readonly onSave: (form: Form) => void
}): React.JSX.Element {
  const { downloadRows } = props.opened
  if (downloadRows === 0)
    return (
      <Text size="xs" c="var(--quiet)">
        {words.sql.noSave}
      </Text>
    )
  const hint = words.sql.saveHint(downloadRows)
  return (
    <>
      <Button variant="subtle" title={hint} disabled={!props.isOpen} onClick={() => props.onSave('csv')}>
        {words.sql.csv}
      </Button>
      <Button variant="subtle" title={hint} disabled={!props.isOpen} onClick={() => props.onSave('json')}>
        {words.sql.json}
      </Button>
    </>
  )
}

/** Of this visit only: statements can hold secrets, and a browser forgets nothing that it was told to keep. */
function Earlier(props: {
  readonly statements: readonly string[]
  readonly onChoose: (sql: string) => void
}): React.JSX.Element | null {
  if (props.statements.length === 0) return null
  return (
    <Menu position="bottom-end" width={420}>
      <Menu.Target>
        <Button variant="subtle">{words.sql.history}</Button>
      </Menu.Target>
      <Menu.Dropdown className="sql-earlier">
        {props.statements.map((sql) => (
          <Menu.Item key={sql} onClick={() => props.onChoose(sql)}>
            <code>{sql.slice(0, 200)}</code>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}

function save(parts: readonly string[], name: string): void {
  const url = URL.createObjectURL(new Blob([...parts], { type: 'text/plain;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
