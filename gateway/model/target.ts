/** Targets: production things behind a name, with up to three endpoints. */

export type Protocol = 'ssh' | 'postgres' | 'http'

/** A reference to a secret, never the secret: `file:/path`, `env:NAME`. */
export type SecretRef = string

/** How the gateway logs in over SSH. `ca`: a certificate of minutes from Sallyport's own CA. `key`: a private key by reference. */
export type SshCredential = { readonly kind: 'ca' } | { readonly kind: 'key'; readonly privateKey: SecretRef }

/** What proves that the host is the host. At least one entry in all; "any" does not exist. */
export type HostTrust = {
  /** Lines `ssh-ed25519 AAAA…` or fingerprints `SHA256:…`. */
  readonly keys: readonly string[]
  /** Paths of OpenSSH known_hosts files. */
  readonly knownHosts: readonly string[]
  /** Public keys of CAs that sign host certificates. */
  readonly authorities: readonly string[]
}

export type SshEndpoint = {
  readonly host: string
  readonly port: number
  /** Reached through this agent; host and port say nothing then. Without an own {@link trust}, the agent's shell is what answers. */
  readonly agent?: string | undefined
  readonly trust: HostTrust
  readonly credential: SshCredential
  /** The account when the role names none. */
  readonly account: string | undefined
}

export type PostgresCredential =
  | {
      /** A role per grant, made at first use by this administrator and dropped at the grant's end. */
      readonly kind: 'provision'
      readonly username: string
      readonly password: SecretRef
    }
  | { readonly kind: 'static'; readonly username: string; readonly password: SecretRef }

export type PostgresEndpoint = {
  /** A host name, or the absolute path of the directory of a unix socket. */
  readonly host: string
  readonly port: number
  /** Reached through this agent; host and port say nothing then. */
  readonly agent?: string | undefined
  /** The database that `psql … prod-db` means when it names none. */
  readonly database: string
  /** `verify`: TLS with CA check. `off` only for a unix socket or a loopback address. */
  readonly tls:
    | { readonly mode: 'verify'; readonly ca: string | undefined; readonly serverName: string | undefined }
    | { readonly mode: 'off' }
  readonly credential: PostgresCredential
}

/** What the gateway itself shows the application, in place of the person's own credential. */
export type HttpCredential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: SecretRef }
  | { readonly kind: 'bearer'; readonly token: SecretRef }

/** Everything but `url` may be left out; left out is the strictest. */
export type HttpEndpoint = {
  /** An origin, `http://10.0.0.7:3000`: no path, no login. */
  readonly url: string
  /** Reached through this agent; host and port of `url` say no more than the name of the application then. */
  readonly agent?: string | undefined
  /** PEM of the CA behind an https url; undefined: the public ones. */
  readonly ca?: string | undefined
  /** A client certificate, PEM, and its key. */
  readonly certificate?: { readonly certificate: string; readonly key: SecretRef } | undefined
  readonly credential?: HttpCredential | undefined
  /** `public`: the application sees the name that people type. `target`: the name of its own url. Default `public`. */
  readonly hostHeader?: 'public' | 'target' | undefined
  /** Also says who it is in plain headers: only for applications that nobody reaches past the gateway. */
  readonly identityHeaders?: boolean | undefined
  /** Further request headers that reach the application: `x-api-version`, `x-grafana-*`. */
  readonly requestHeaders?: readonly string[] | undefined
  /** Other web origins whose pages may call it. */
  readonly origins?: readonly string[] | undefined
  /** Lets `%2f` and `%5c` through in paths. */
  readonly encodedSlashes?: boolean | undefined
}

export type Target = {
  readonly name: string
  readonly description: string
  readonly labels: Readonly<Record<string, string>>
  readonly ssh: SshEndpoint | undefined
  readonly postgres: PostgresEndpoint | undefined
  readonly http: HttpEndpoint | undefined
}

export const protocolsOf = (target: Target): readonly Protocol[] =>
  (['ssh', 'postgres', 'http'] as const).filter((protocol) => target[protocol] !== undefined)
