/** What people type: reasons, notes, minutes. */
import { Refusal } from '../model/refusal.ts'
import { span } from '../model/role-words.ts'
import type { Role } from '../model/role.ts'

/** Control characters, halves of pairs, and all that is there and cannot be seen, but for the joiners that words of some scripts need. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]|(?![\u200c\u200d])\p{Cf}/u
const MOST = 500
const LEAST_MINUTES = 0.05

/** One line: runs of white space become one space. @throws {Refusal} BAD_INPUT. */
export function line(text: string, what: string, least: number, most: number = MOST): string {
  if (typeof text !== 'string' || text.length > 4 * most) throw new Refusal('BAD_INPUT', `The ${what} is too long.`)
  const flat = text.replace(/\s+/gu, ' ').trim()
  const { length } = Array.from(flat)
  if (length < least || length > most)
    throw new Refusal('BAD_INPUT', `The ${what} must have ${least} to ${most} characters.`)
  if (UNPRINTABLE.test(flat)) throw new Refusal('BAD_INPUT', `The ${what} must be printable text.`)
  return flat
}

/** Fractions are allowed, so that a demonstration need not last a minute. `most` and the sentence about it go together. @throws {Refusal} BAD_INPUT. */
export function minutesWithin(minutes: number, most: number, tooMany: string): number {
  if (!(minutes >= LEAST_MINUTES)) throw new Refusal('BAD_INPUT', `The time must be ${span(LEAST_MINUTES)} at least.`)
  if (minutes <= most) return minutes
  throw new Refusal('BAD_INPUT', tooMany, { next: `Say ${span(most)}, or less.` })
}

export const minutesFor = (role: Role, minutes: number | undefined): number =>
  minutesWithin(
    minutes ?? Math.min(role.defaultMinutes, role.maxMinutes),
    role.maxMinutes,
    `Role ${role.name} lasts ${span(role.maxMinutes)} at most.`,
  )
