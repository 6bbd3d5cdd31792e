/** The inside of ssh2 1.17.0 as far as we touch it. Checked by reading that version; `ssh2.ts` refuses any other. */

export type ParsedKey = {
  readonly type: string
  sign(data: Buffer, hash?: string): Buffer | Error
  getPublicSSH(): Buffer
  getPrivatePEM(): string | null
}

export type Lists = {
  readonly cipher: readonly string[]
  readonly mac: readonly string[]
  readonly compress: readonly string[]
  readonly lang: readonly string[]
}

export type Offer = {
  readonly kex: readonly string[]
  readonly serverHostKey: readonly string[]
  readonly cs: Lists
  readonly sc: Lists
}

type NameList = { readonly array: readonly string[]; readonly buffer: Buffer }
type Direction = Record<'cipher' | 'mac' | 'compress' | 'lang', NameList>

export type KexInit = {
  readonly constructor: new (offer: Offer) => KexInit
  readonly lists: { kex: NameList; serverHostKey: NameList; cs: Direction; sc: Direction }
}

export type Negotiated = {
  readonly kex: string
  readonly serverHostKey: string
  readonly cs: { readonly cipher: string; readonly mac: string }
  readonly sc: { readonly cipher: string; readonly mac: string }
}

/** One key exchange. */
export type Kex = {
  type: string
  hashName: string
  negotiated: Negotiated
  remoteExtInfoEnabled: boolean
  readonly sessionID: Buffer | undefined
  readonly _remoteKexinit: Buffer
  convertPublicKey(key: Buffer): Buffer
  generateKeys(): void
  getPublicKey(): Buffer
  computeSecret(otherPublicKey: Buffer): Buffer | Error
}

export type HostKey = {
  readonly type: string
  getPublicSSH(): Buffer
  sign(data: Buffer, hash?: string): Buffer | Error
}

export type Payload = (payload: Buffer) => number | boolean | undefined

export type Protocol = {
  readonly _server: boolean
  _kex: Kex | undefined
  _kexinit: Buffer | undefined
  _offer: KexInit
  _hostKeys: Readonly<Record<string, HostKey>>
  _strictMode: boolean | undefined
  _skipNextInboundPacket: boolean
  readonly _queue: readonly Buffer[] | undefined
  _onPayload: Payload
  _onHandshakeComplete: (negotiated: Negotiated) => void
  readonly _packetRW: {
    readonly write: {
      readonly allocStart: number
      readonly allocStartKEX: number
      alloc(length: number, force?: boolean): Buffer
      finalize(packet: Buffer, force?: boolean): Buffer
    }
  }
  readonly _cipher: { encrypt(packet: Buffer): void }
  /** The first one, of what is not encrypted yet, has `_onPayload`. */
  readonly _decipher: { _onPayload?: Payload }
  start(): void
  parse(chunk: Buffer, from: number, length: number): void
  rekey(): void
  cleanup(): void
}

export type ProtocolConfig = {
  readonly server: boolean
  readonly hostKeys?: Readonly<Record<string, HostKey>>
  readonly hostVerifier?: (key: Buffer) => boolean
  readonly ident: string
  readonly offer: Offer
  readonly onWrite: (bytes: Buffer) => void
  readonly onError: (error: Error) => void
  readonly onHeader: (header: { readonly identRaw: string }) => void
  readonly onHandshakeComplete: (negotiated: Negotiated) => void
  readonly messageHandlers: Record<string, (...args: readonly never[]) => void>
}

export type ProtocolConstructor = { new (config: ProtocolConfig): Protocol; readonly prototype: Protocol }

export type CryptoModule = {
  createCipher: (config: object) => object
  createDecipher: (config: object) => object
  readonly bindingAvailable: boolean
  readonly init: Promise<void>
}

export type KeyParserModule = {
  parseDERKey: (data: Buffer, type: string) => ParsedKey | Error
  readonly parseKey: (text: Buffer) => ParsedKey | readonly ParsedKey[] | Error
}
