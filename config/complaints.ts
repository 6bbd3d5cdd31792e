/** What the schema found wrong, in the words of somebody who writes a configuration. */
import type { z } from 'zod'
import { nearest } from '../gateway/model/nearest.ts'

export type Complaint = {
  readonly path: readonly PropertyKey[]
  readonly message: string
  /** A key under `path` that is no word of the configuration. */
  readonly unknownKey?: string
}

type Issue = z.core.$ZodIssue

/** `value` is what was parsed: it tells what is missing from what is wrong. */
export function complaintsOf(schema: z.ZodType, issues: readonly Issue[], value: unknown): readonly Complaint[] {
  return issues.flatMap((issue) => complaintsAbout(schema, issue, value))
}

function complaintsAbout(schema: z.ZodType, issue: Issue, value: unknown): readonly Complaint[] {
  const { path } = issue
  switch (issue.code) {
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, message }))
    case 'unrecognized_keys':
      return issue.keys.map((unknownKey) => {
        const meant = nearest(unknownKey, wordsAt(schema, path))
        const hint = meant === undefined ? '' : `; did you mean ${meant}?`
        return { path, unknownKey, message: `is not a word of the configuration${hint}` }
      })
    case 'invalid_union': {
      const inner = closest(issue.errors)
      if (inner === undefined) return [{ path, message: formsText(issue.errors, schema, { path, value }) }]
      return inner.flatMap((one) => complaintsAbout(schema, { ...one, path: [...path, ...one.path] }, value))
    }
    case 'invalid_type': {
      const found = at(value, path)
      if (found === undefined) return [{ path, message: 'is missing' }]
      return [{ path, message: own(issue) ?? `takes ${KINDS[issue.expected] ?? issue.expected}` }]
    }
    case 'invalid_value':
      return [{ path, message: `takes ${issue.values.map(String).join(', ')}, not ${shown(at(value, path))}` }]
    case 'too_small':
      return [{ path, message: own(issue) ?? `takes ${limited(issue.origin, `${issue.minimum} or more`)}` }]
    case 'too_big':
      return [{ path, message: own(issue) ?? `takes ${limited(issue.origin, `${issue.maximum} at most`)}` }]
    case 'custom':
    case 'invalid_element':
    case 'invalid_format':
    case 'not_multiple_of':
      return [{ path, message: issue.message }]
  }
  return issue satisfies never
}

const KINDS: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'keys of its own',
  record: 'names, each with keys of its own',
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
}

const limited = (origin: string, limit: string): string =>
  origin === 'array' ? `a list of ${limit}` : origin === 'string' ? `a text of ${limit} characters` : limit

/** Where the schema has a sentence of its own. */
const own = ({ message }: Issue): string | undefined => (/^(Invalid|Too) /.test(message) ? undefined : message)

const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 60) ?? 'nothing'

/** Of several forms the one that was most likely meant: whose kind fits, so that only something in it is wrong. */
function closest(forms: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const fitting = forms.filter((issues) => !issues.some(({ code, path }) => path.length === 0 && isKind(code)))
  return fitting.length === 1 ? fitting[0] : undefined
}

/** `takes "auto"; or takes keys of its own`: what each of several forms would have needed. */
function formsText(
  forms: readonly (readonly Issue[])[],
  schema: z.ZodType,
  where: { readonly path: readonly PropertyKey[]; readonly value: unknown },
): string {
  const texts = forms.map((issues) =>
    issues
      .flatMap((issue) => complaintsAbout(schema, { ...issue, path: [...where.path, ...issue.path] }, where.value))
      .map(({ message, path, unknownKey }) => [
        ...path.slice(where.path.length),
        ...(unknownKey === undefined ? [] : [unknownKey]),
        message,
      ])
      .map((words) => words.map(String).join(': '))
      .join(', '),
  )
  return [...new Set(texts)].join('; or ')
}

const isKind = (code: Issue['code']): boolean => code === 'invalid_type' || code === 'invalid_value'

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined),
    value,
  )
}

/** Every key that the schema knows at a place, whichever of its forms it is in. */
function wordsAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  const [first, ...rest] = path
  return formsOf(schema).flatMap((form) => {
    const { def } = form as { readonly def: Def }
    if (first === undefined) return Object.keys(def.shape ?? {})
    const inner = def.shape?.[String(first)] ?? def.valueType ?? def.element
    return inner === undefined ? [] : wordsAt(inner, rest)
  })
}

/** The parts of a schema's definition that lead further in. */
type Def = {
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly valueType?: z.ZodType
  readonly element?: z.ZodType
  readonly innerType?: z.ZodType
  readonly in?: z.ZodType
  readonly out?: z.ZodType
  readonly options?: readonly z.ZodType[]
}

function formsOf(schema: z.ZodType): readonly z.ZodType[] {
  const { innerType, in: before, options, out } = (schema as { readonly def: Def }).def
  const inner = [...(options ?? []), ...[innerType, before, out].filter((one) => one !== undefined)]
  return inner.length === 0 ? [schema] : inner.flatMap(formsOf)
}
