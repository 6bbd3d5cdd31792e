/** A target, and which of a person's grants there counts, in the address of a page: `?grant=37` or `?role=operator`. */
import { useQuery } from './router.tsx'

export type Place = {
  readonly target: string
  /** A role or the number of a grant, as after the `%` in ssh and psql; undefined: the newest. */
  readonly under: string | undefined
}

export function placeHref(page: 'sql' | 'terminal', { target, under }: Place): string {
  const kind = under !== undefined && /^\d+$/.test(under) ? 'grant' : 'role'
  return `/${page}/${target}${under === undefined ? '' : `?${kind}=${encodeURIComponent(under)}`}`
}

export function useUnder(): string | undefined {
  const query = useQuery()
  return query.get('grant') ?? query.get('role') ?? undefined
}
