/** Rows of a result: only those on the screen are drawn, so ten thousand scroll like ten. Keys move a cell; the whole of it is shown below. */
import { Text } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react'
import { words } from '../strings/strings.ts'
import type { Result } from './sql-line.ts'

const ROW = 28
const LEAST = 72
const MOST = 360
const CHARACTER = 7.9
/** Rows that say how wide a column should be. */
const SAMPLE = 100
const NUMBERS: ReadonlySet<string> = new Set(['int2', 'int4', 'int8', 'numeric', 'float4', 'float8', 'money', 'oid'])

type Cell = { readonly row: number; readonly column: number }

export function Grid({ result, rows }: { readonly result: Result; readonly rows: number }): React.JSX.Element {
  const { columns } = result
  const scroll = useRef<HTMLDivElement>(null)
  const [cell, setCell] = useState<Cell>()
  // Widths follow the first rows and then stay: columns that jump cannot be read.
  const isSampled = rows >= SAMPLE || result.tag !== undefined
  // oxlint-disable-next-line react-hooks/exhaustive-deps -- the rows grow in place
  const widths = useMemo(() => widthsOf(result), [result, isSampled, rows === 0])
  const virtual = useVirtualizer({
    count: rows,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW,
    overscan: 12,
  })
  useEffect(() => {
    if (cell !== undefined) virtual.scrollToIndex(cell.row)
  }, [cell, virtual])
  const move = (event: KeyboardEvent): void => {
    const from = cell ?? { row: 0, column: 0 }
    const page = Math.max(1, Math.floor((scroll.current?.clientHeight ?? ROW) / ROW) - 2)
    const steps: Readonly<Record<string, readonly [number, number]>> = {
      ArrowDown: [1, 0],
      ArrowUp: [-1, 0],
      ArrowRight: [0, 1],
      ArrowLeft: [0, -1],
      PageDown: [page, 0],
      PageUp: [-page, 0],
      Home: [0, -columns.length],
      End: [0, columns.length],
    }
    const step = steps[event.key]
    if (step === undefined) return
    event.preventDefault()
    setCell({
      row: Math.max(0, Math.min(rows - 1, from.row + step[0])),
      column: Math.max(0, Math.min(columns.length - 1, from.column + step[1])),
    })
  }
  const template = widths.map((width) => `${width}px`).join(' ')
  const chosen = cell === undefined ? undefined : result.rows[cell.row]?.[cell.column]
  return (
    <div className="sql-result">
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex, jsx-a11y/no-noninteractive-element-interactions, jsx-a11y/no-static-element-interactions -- the grid inside is moved in by keys */}
      <div ref={scroll} className="sql-grid" tabIndex={0} onKeyDown={move}>
        <table aria-label={words.sql.result} aria-rowcount={rows + 1} aria-colcount={columns.length}>
          <thead>
            <tr aria-rowindex={1} style={{ gridTemplateColumns: template }}>
              {columns.map(({ name, type }, at) => (
                // oxlint-disable-next-line react/no-array-index-key -- two columns may have one name
                <th key={at} scope="col" title={`${name} · ${type}`}>
                  {name} <span>{type}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody style={{ height: virtual.getTotalSize(), width: widths.reduce((a, b) => a + b, 0) }}>
            {virtual.getVirtualItems().map(({ index, start }) => (
              <tr
                key={index}
                aria-rowindex={index + 2}
                style={{ gridTemplateColumns: template, transform: `translateY(${start}px)` }}
              >
                {columns.map(({ type }, column) => {
                  const value = result.rows[index]?.[column]
                  return (
                    // oxlint-disable-next-line react/no-array-index-key, jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions -- keys move in the grid as a whole
                    <td
                      key={column}
                      data-null={value === null}
                      data-number={NUMBERS.has(type)}
                      data-chosen={cell?.row === index && cell.column === column}
                      onClick={() => setCell({ row: index, column })}
                    >
                      {value === null ? words.sql.null : value}
                    </td>
                  )
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {chosen !== undefined && (
        <output className="sql-cell">
          <Text component="span" size="xs" c="var(--quiet)">
            {words.sql.cell((cell?.row ?? 0) + 1, columns[cell?.column ?? 0]?.name ?? '')}
          </Text>
          <pre>{chosen === null ? words.sql.null : pretty(chosen)}</pre>
        </output>
      )}
    </div>
  )
}

/** JSON is easier to read with its lines. */
function pretty(value: string): string {
  if (!/^\s*[[{]/.test(value) || value.length > 100_000) return value
  try {
    return JSON.stringify(JSON.parse(value), undefined, 2)
  } catch {
    return value
  }
}

const widthsOf = ({ columns, rows }: Result): readonly number[] =>
  columns.map(({ name, type }, at) => {
    const longest = rows
      .slice(0, SAMPLE)
      .reduce((most, row) => Math.max(most, row[at]?.length ?? 4), name.length + type.length + 1)
    return Math.round(Math.min(MOST, Math.max(LEAST, longest * CHARACTER + 22)))
  })
