/** Loads ssh2 1.17.0 as our own copy, with the fixes that must be in place before its key exchange is loaded. Its transport is all we use of it. */
import { createRequire } from 'node:module'
import { SharedReads } from '../../session/session.ts'
import { Blocks } from './blocks.ts'
import { useCompiledCiphers } from './fixes/compiled-ciphers.ts'
import { useKeyObjects } from './fixes/key-objects.ts'
import { parseHostCertificates } from './fixes/host-certificates.ts'
import { Padding, usePacketBuffers } from './fixes/packet-buffers.ts'
import { offerPostQuantum } from './fixes/post-quantum.ts'
import { Typing } from './typing.ts'
import type { CryptoModule, KeyParserModule, ParsedKey, Protocol, ProtocolConstructor } from './ssh2-types.ts'

export const REVIEWED_VERSION = '1.17.0'
/** What one read brings, and as much of one turn of the event loop is a busy socket's; and the same while somebody types. */
const READ = 256 * 1024
const SHORT_READ = 64 * 1024
/** One read of the other side, with what encryption adds. */
const BLOCK = READ + 32 * 1024
const MOST_BLOCKS = 32

export type Ssh2 = {
  readonly Protocol: ProtocolConstructor
  /** Of private keys that the operator configured; at most 16 KiB are ever given to it. */
  readonly parseKey: (text: Buffer) => ParsedKey | readonly ParsedKey[] | Error
  /** ASN.1 signatures of OpenSSL to those of SSH. */
  readonly convertSignature: (signature: Buffer, keyType: string) => Buffer
  readonly sendPacket: (protocol: Protocol, packet: Buffer) => boolean
  /** Memory for what one read of a socket brings, on its way to another. */
  readonly blocks: Blocks
  readonly reads: SharedReads
  readonly typing: Typing
  /** How much a busy socket may bring in one turn of the event loop. */
  readonly turn: () => number
  /** Resolves when its ciphers can be used. */
  readonly ready: Promise<void>
  readonly cipherAddon: boolean
  readonly postQuantum: boolean
}

let loaded: Ssh2 | undefined

/**
 * Modules that others have loaded are set aside meanwhile: the copy is ours alone, so the order of imports elsewhere cannot undo a fix,
 * and nobody else sees a patched library.
 *
 * @throws when the installed version is not the one that was reviewed.
 */
export function loadSsh2(): Ssh2 {
  loaded ??= load()
  return loaded
}

function load(): Ssh2 {
  const require = createRequire(import.meta.url)
  const { version } = require('ssh2/package.json') as { version: string }
  if (version !== REVIEWED_VERSION) throw new Error(`ssh2 ${version} was not reviewed; ${REVIEWED_VERSION} was.`)
  const aside = new Map<string, NodeJS.Module>()
  for (const [path, module] of Object.entries(require.cache)) {
    if (!isOurs(path) || module === undefined) continue
    aside.set(path, module)
    delete require.cache[path]
  }
  try {
    const crypto = require('ssh2/lib/protocol/crypto.js') as CryptoModule
    const keyParser = require('ssh2/lib/protocol/keyParser.js') as KeyParserModule
    useKeyObjects(crypto)
    const padding = new Padding()
    useCompiledCiphers(crypto, padding)
    usePacketBuffers(crypto, padding)
    parseHostCertificates(keyParser)
    const Protocol = require('ssh2/lib/protocol/Protocol.js') as ProtocolConstructor
    const { convertSignature, sendPacket } = require('ssh2/lib/protocol/utils.js') as Pick<
      Ssh2,
      'convertSignature' | 'sendPacket'
    >
    const typing = new Typing()
    const turn = () => (typing.isOn ? SHORT_READ : READ)
    return {
      Protocol,
      parseKey: keyParser.parseKey,
      convertSignature,
      sendPacket,
      blocks: new Blocks(BLOCK, MOST_BLOCKS),
      reads: new SharedReads({ bytes: READ, lends: true, most: turn }),
      typing,
      turn,
      ready: crypto.init,
      cipherAddon: crypto.bindingAvailable,
      postQuantum: offerPostQuantum(Protocol),
    }
  } finally {
    for (const path of Object.keys(require.cache)) if (isOurs(path)) delete require.cache[path]
    for (const [path, module] of aside) require.cache[path] = module
  }
}

const isOurs = (path: string): boolean => /[\\/]node_modules[\\/]ssh2[\\/]lib[\\/].*\.js$/.test(path)
