/** JSON that is harmless in a terminal and in a script as well: what JSON allows raw but screens obey is escaped. */

const OBEYED = /[\u007f-\u009f\u2028\u2029]/g

/** `text` is JSON already. */
export const harmless = (text: string): string =>
  text.replace(OBEYED, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)

export const jsonOf = (value: unknown): string => harmless(JSON.stringify(value))
