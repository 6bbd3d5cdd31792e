/** One or more of a thing, in English. */
export const many = (count: number, one: string, more: string): string => `${count} ${count === 1 ? one : more}`
