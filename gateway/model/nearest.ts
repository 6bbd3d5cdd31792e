/** The word that somebody most likely meant, out of those that there are. */

/** Undefined where none is near: a third of the letters may differ. */
export function nearest(typed: string, known: Iterable<string>): string | undefined {
  if (typed.length > LONGEST) return undefined
  let best: { readonly word: string; readonly far: number } | undefined
  for (const word of known) {
    const most = Math.max(1, Math.floor(Math.max(typed.length, word.length) / 3))
    if (Math.abs(typed.length - word.length) > most) continue
    const far = distance(typed.toLowerCase(), word.toLowerCase())
    if (far <= most && far < (best?.far ?? LONGEST)) best = { word, far }
  }
  return best?.word
}

const LONGEST = 64

/** Letters that were changed, left out or put in; two that changed places count as one (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(
        Math.min(
          (last[j] ?? 0) + 1,
          (row[j - 1] ?? 0) + 1,
          (last[j - 1] ?? 0) + same,
          swapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
        ),
      )
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}
