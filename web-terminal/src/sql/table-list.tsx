/** Tables and columns that the person may read; a click writes the name into the statement. */
import { Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import { words } from '../strings/strings.ts'
import { quotedName, type Table } from './tables.ts'

export function TableList(props: {
  readonly tables: readonly Table[]
  readonly onName: (name: string) => void
}): React.JSX.Element {
  const [query, setQuery] = useState('')
  const wanted = query.trim().toLowerCase()
  const shown = props.tables.filter(({ schema, name }) => `${schema}.${name}`.toLowerCase().includes(wanted))
  return (
    <nav aria-label={words.sql.tables} className="sql-tables">
      <TextInput
        size="xs"
        type="search"
        aria-label={words.sql.findTable}
        placeholder={words.sql.findTable}
        value={query}
        onChange={(event) => setQuery(event.currentTarget.value)}
      />
      {shown.length === 0 && (
        <Text size="sm" c="var(--quiet)" mt="xs">
          {words.sql.noTables}
        </Text>
      )}
      {shown.map((table) => (
        <details key={`${table.schema}.${table.name}`}>
          <summary>
            <span className="breaks">
              {table.schema === 'public' ? '' : `${table.schema}.`}
              {table.name}
            </span>
          </summary>
          <ul>
            <li>
              <Name name={fullName(table)} label={words.sql.tableName} onName={props.onName} />
            </li>
            {table.columns.map(({ name, type }) => (
              <li key={name}>
                <Name name={quotedName(name)} label={name} type={type} onName={props.onName} />
              </li>
            ))}
          </ul>
        </details>
      ))}
    </nav>
  )
}

const fullName = ({ schema, name }: Table): string =>
  schema === 'public' ? quotedName(name) : `${quotedName(schema)}.${quotedName(name)}`

function Name(props: {
  readonly name: string
  readonly label: string
  readonly type?: string
  readonly onName: (name: string) => void
}): React.JSX.Element {
  return (
    <button type="button" title={words.sql.insert(props.name)} onClick={() => props.onName(props.name)}>
      {props.label} <span>{props.type}</span>
    </button>
  )
}
