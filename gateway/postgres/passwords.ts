/** What a recording has no use for: `ALTER ROLE x PASSWORD '…'`. */

export const withoutPasswords = (text: string): string =>
  /password/i.test(text) ? text.replaceAll(/\b(password\s+)(?:e|u&)?'(?:[^'\\]|\\.|'')*'/gi, "$1'***'") : text
