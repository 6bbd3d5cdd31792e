/** What the judge knows of one program. */
import { type Flags, flags, readOptions } from '../options.ts'
import type { Use } from '../rules.ts'
import type { Word } from '../words.ts'

export type Program = {
  readonly name: string
  /** @throws {Refused} when these arguments would do more than read. */
  readonly judge: (argv: readonly Word[], use: Use) => void
  /** Reads the files it is given; endless devices among them are refused. Default true. */
  readonly reads?: boolean
  /** The shell's own; runs without a file. */
  readonly isBuiltin?: boolean
  /** Put before the arguments when it runs. */
  readonly first?: readonly string[]
  /** Arguments of `env` in front of it: pagers off, nothing taken from the account's own settings. */
  readonly environment?: readonly string[]
  /** Signs of patterns in its arguments are only text: nobody means files by them here. */
  readonly takesPatternsAsText?: boolean
  /** Worth a terminal of its own. */
  readonly wantsTerminal?: boolean
}

type Plain = {
  /** Only flags whose arity matters need to be named. */
  readonly known?: string
  readonly refused?: string
  readonly because?: string
  readonly reads?: boolean
  readonly isBuiltin?: boolean
}

const NONE: Flags = new Map()

/** A program that can neither write nor start anything, but for the flags in `refused`. */
export function plain(name: string, { known, refused, because, ...rest }: Plain = {}): Program {
  const knownFlags = known === undefined ? NONE : flags(known)
  const refusedFlags = refused === undefined ? NONE : flags(refused)
  return {
    name,
    judge: (argv, use) => {
      readOptions(argv, {
        known: knownFlags,
        refused: refusedFlags,
        open: true,
        allows: use.flag,
        ...(because === undefined ? {} : { because }),
      })
    },
    ...rest,
  }
}
