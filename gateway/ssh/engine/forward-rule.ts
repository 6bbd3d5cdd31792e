/** Which addresses -L may reach: `host:port` patterns of a role. Exact hosts or a leading `*.`, exact ports or `*`. */

/** @param host as the client wrote it; names are compared without case, addresses as they are. */
export const mayForward = (patterns: readonly string[], host: string, port: number): boolean =>
  patterns.some((pattern) => {
    const colon = pattern.lastIndexOf(':')
    const [wantedHost, wantedPort] = [
      pattern
        .slice(0, colon)
        .replace(/^\[|\]$/g, '')
        .toLowerCase(),
      pattern.slice(colon + 1),
    ]
    if (colon < 1 || (wantedPort !== '*' && wantedPort !== String(port))) return false
    const name = host.toLowerCase()
    if (wantedHost.startsWith('*.')) return name.endsWith(wantedHost.slice(1)) && name.length > wantedHost.length - 1
    return wantedHost === name
  })
