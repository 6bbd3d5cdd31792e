/** `${NAME}` in a configuration: taken from the environment on parsed values only, so that nothing there can become YAML. */

export type Missing = { readonly path: readonly (string | number)[]; readonly message: string }

/** The same value with every variable replaced, and a complaint for each place that names one which is not set. */
export function withEnvironment(
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
): { readonly value: unknown; readonly missing: readonly Missing[] } {
  const missing: Missing[] = []
  const expand = (inner: unknown, path: Missing['path']): unknown => {
    if (typeof inner === 'string')
      return inner.replaceAll(/\$\{([A-Z0-9_]+)\}/g, (_all, variable: string) => {
        const found = env[variable]
        if (found === undefined) missing.push({ path, message: `environment variable not set: ${variable}` })
        return found ?? ''
      })
    if (Array.isArray(inner)) return inner.map((item, at) => expand(item, [...path, at]))
    if (typeof inner !== 'object' || inner === null) return inner
    return Object.fromEntries(Object.entries(inner).map(([key, item]) => [key, expand(item, [...path, key])]))
  }
  return { value: expand(value, []), missing }
}
