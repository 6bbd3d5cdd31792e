/** Long lists of literals say nothing that a verdict depends on; without them a tree is light enough to be carried to another thread. */
import type { Tree } from './tree.ts'

/** Shorter lists stay whole: the arguments of SET and set_config are among them. */
const LONG = 32

const isLiteral = (node: Tree): boolean => {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return false
  const [entry, ...more] = Object.entries(node)
  if (entry === undefined || more.length > 0) return false
  const [kind, body] = entry
  if (kind === 'A_Const') return true
  if (kind !== 'List' || typeof body !== 'object' || body === null) return false
  const items = (body as { readonly items?: Tree }).items
  return Array.isArray(items) && items.every((item: Tree) => isLiteral(item))
}

/** @throws {RangeError} for a tree that is too deep. */
export function pruned(tree: Tree): Tree {
  if (typeof tree !== 'object' || tree === null) return tree
  if (Array.isArray(tree)) {
    const items = tree as readonly Tree[]
    return (items.length > LONG ? items.filter((item) => !isLiteral(item)) : items).map(pruned)
  }
  return Object.fromEntries(
    Object.entries(tree)
      .filter(([key]) => key !== 'location')
      .map(([key, value]) => [key, pruned(value)]),
  )
}
