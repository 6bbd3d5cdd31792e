/** Granted commands as an operator writes them: `tail -n {lines:int 1..10000} /var/log/{app:enum orders,billing}.log`. */
import { z } from 'zod'
import type { CommandGrant, CommandParameter } from '../gateway/model/role.ts'
import { duration, name } from './words.ts'

const PLACEHOLDER = /^\{([a-z][a-z0-9_-]{0,31}):\s*([^={}]+?)\s*(?:=\s*([^{}]*?)\s*)?\}/
const VALUE = /^[A-Za-z0-9_.][A-Za-z0-9_./:@+-]{0,127}$/
const MAX_WORDS = 64

type Template = Pick<CommandGrant, 'argv' | 'parameters'>

/** A placeholder may hold spaces; everything else is split at spaces. @throws {Error} with a sentence. */
export function parseTemplate(text: string): Template {
  const argv: CommandGrant['argv'][number][number][][] = []
  const parameters: CommandParameter[] = []
  let word: CommandGrant['argv'][number][number][] | undefined
  for (let at = 0; at < text.length; ) {
    const letter = text[at] ?? ''
    if (/\s/.test(letter)) {
      word = undefined
      at += 1
      continue
    }
    if (word === undefined) {
      word = []
      argv.push(word)
    }
    if (letter === '{') {
      const [whole, key = '', type = '', fallback] = PLACEHOLDER.exec(text.slice(at)) ?? []
      if (whole === undefined)
        throw new Error(`"${text.slice(at, at + 30)}" is not a parameter; write {lines:int 1..100}`)
      if (parameters.some((known) => known.name === key)) throw new Error(`the parameter ${key} stands there twice`)
      parameters.push(parameterOf(key, type, fallback))
      word.push({ parameter: key })
      at += whole.length
      continue
    }
    if (/[}"'\\`$\p{Cc}]/u.test(letter)) throw new Error(`${letter} cannot stand in a command: no shell will read it`)
    const end = /[\s{]/.exec(text.slice(at + 1))?.index
    const piece = end === undefined ? text.slice(at) : text.slice(at, at + 1 + end)
    if (/[}"'\\`$\p{Cc}]/u.test(piece)) throw new Error(`${piece} holds a sign that only a shell would read`)
    word.push({ text: piece })
    at += piece.length
  }
  const [program] = argv
  if (program === undefined) throw new Error('say which command')
  if (program.some((piece) => 'parameter' in piece)) throw new Error('the program itself cannot be a parameter')
  if (argv.length > MAX_WORDS) throw new Error(`a command has at most ${MAX_WORDS} words`)
  return { argv, parameters }
}

function parameterOf(key: string, words: string, fallback: string | undefined): CommandParameter {
  const [kind = '', ...rest] = words.split(/\s+/)
  const said = rest.join('')
  const type = typeOf(key, kind, said)
  const parameter = { name: key, type, fallback }
  if (fallback !== undefined && !fits(type, fallback)) throw new Error(`${key}: its default ${fallback} is not allowed`)
  return parameter
}

function typeOf(key: string, kind: string, said: string): CommandParameter['type'] {
  if (kind === 'name' && said === '') return { kind }
  if (kind === 'int') {
    const [, least, most] = /^(\d{1,15})\.\.(\d{1,15})$/.exec(said) ?? []
    if (least === undefined || most === undefined || Number(least) > Number(most))
      throw new Error(`${key}: write int 1..100`)
    return { kind, least: Number(least), most: Number(most) }
  }
  if (kind === 'enum') {
    const values = said.split(',').filter((value) => value !== '')
    const bad = values.find((value) => !VALUE.test(value))
    if (values.length === 0 || bad !== undefined) throw new Error(`${key}: write enum orders,billing`)
    return { kind, values }
  }
  throw new Error(`${key}: a parameter is an int, an enum or a name`)
}

const fits = (type: CommandParameter['type'], value: string): boolean =>
  type.kind === 'enum'
    ? type.values.includes(value)
    : type.kind === 'int'
      ? /^\d{1,15}$/.test(value) && Number(value) >= type.least && Number(value) <= type.most
      : /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(value)

const template = z.string().transform((text, context) => {
  try {
    return { template: text, ...parseTemplate(text) }
  } catch (failure) {
    context.addIssue({ code: 'custom', message: failure instanceof Error ? failure.message : String(failure) })
    return z.NEVER
  }
})

const long = z.strictObject({
  run: template,
  description: z.string().default(''),
  timeout: duration.default(300_000),
  output_megabytes: z.number().positive().max(1024).default(16),
})

/** By name; what a person types after the target. */
export const commands = z
  .record(
    name,
    z.union([template.transform((run) => ({ run, description: '', timeout: 300_000, output_megabytes: 16 })), long]),
  )
  .default({})
  .transform((all): readonly CommandGrant[] =>
    Object.entries(all).map(([key, { run, description, timeout, output_megabytes: megabytes }]) => ({
      name: key,
      description,
      ...run,
      timeoutMs: timeout,
      maxBytes: Math.floor(megabytes * 2 ** 20),
    })),
  )
