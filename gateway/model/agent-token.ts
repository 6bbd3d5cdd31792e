/** The token with which an agent enrols once, as text: where to dial, whom to expect there, and the secret. */

export const AGENT_TOKEN_PREFIX = 'sallyport-agent.'

export const agentToken = (token: {
  /** `host:port`. */
  readonly gateway: string
  /** The gateway's own public key line. */
  readonly hostKey: string
  readonly agent: string
  readonly targets: readonly string[]
  readonly secret: string
}): string => `${AGENT_TOKEN_PREFIX}${Buffer.from(JSON.stringify(token)).toString('base64url')}`
