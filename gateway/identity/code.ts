/** Codes that people carry by eye from one screen to the other: 40 bits, no look-alikes, worth five tries and two minutes. */
import { randomBytes } from 'node:crypto'
import { hashOf, isSame } from './cookie-secret.ts'

/** 32 symbols, so that five bits of a random byte choose one without bias. No I, O, 0, 1. */
const ALPHABET = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'
const LENGTH = 8

/** `XXXX-XXXX`. */
export function newCode(): string {
  const symbols = [...randomBytes(LENGTH)].map((byte) => ALPHABET[byte & 31]).join('')
  return `${symbols.slice(0, 4)}-${symbols.slice(4)}`
}

/** Bound to the question, so that the same code of another question is another hash. */
export const codeHash = (question: string, code: string): string => hashOf(`${question} ${plain(code)}`)

export const isCode = (question: string, typed: string, hash: string | undefined): boolean =>
  hash !== undefined && isSame(codeHash(question, typed), hash)

/** Case, blanks and hyphens are the typist's affair. */
const plain = (typed: string): string => typed.slice(0, 64).replaceAll(/[\s-]/g, '').toUpperCase()
