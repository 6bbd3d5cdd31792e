/** Who is who: certificates of people, keys and certificates of hosts, our own keys, and the fixes of the library underneath. */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ensureKeys, issueCertificate, type SigningKey } from '../../gateway/ssh/engine/authority.ts'
import { mayForward } from '../../gateway/ssh/engine/forward-rule.ts'
import { hostTrust } from '../../gateway/ssh/engine/host-trust.ts'
import { readKeyLine } from '../../gateway/ssh/engine/keys.ts'
import { knownName, readKnownHosts } from '../../gateway/ssh/engine/known-hosts.ts'
import { loadSsh2 } from '../../gateway/ssh/engine/ssh2.ts'
import { byte, message, string, uint32, uint64 } from '../../gateway/ssh/engine/wire.ts'
import { sshClient } from '../fixtures/ssh-client.ts'
import { startGateway } from '../fixtures/ssh-engine.ts'
import { newKey, rawClient, SERVICE } from '../fixtures/ssh-raw.ts'
import { missingClient, missingSshd, type Sshd, startSshd, type Teardown } from '../fixtures/sshd.ts'

const skip = missingSshd() ?? missingClient() ?? false
const ME = 'alice%prod-db'
const now = () => Date.now()

function folder(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-keys-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function keygen(directory: string, name: string, ...args: readonly string[]): string {
  const path = join(directory, name)
  execFileSync('ssh-keygen', ['-q', '-N', '', '-f', path, ...args])
  return path
}

const line = (path: string) => readFileSync(path.endsWith('.pub') ? path : `${path}.pub`, 'utf8').trim()

t.test('people with certificates', { skip }, async (t) => {
  const directory = folder(t)
  const kinds = [
    ['ed25519', '-t', 'ed25519'],
    ['ecdsa', '-t', 'ecdsa', '-b', '521'],
    ['rsa', '-t', 'rsa', '-b', '3072'],
  ] as const
  const authorities = kinds.map(([name, ...args]) => keygen(directory, `ca-${name}`, ...args))
  let sshd: Sshd | undefined
  const gateway = await startGateway(t, () => sshd, { userAuthorities: () => authorities.map(line) })
  sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority })

  for (const [index, [name, ...args]] of kinds.entries()) {
    t.test(`${name} signs ${name}`, async (t) => {
      const client = sshClient(t, gateway.port)
      client.trust(...gateway.knownHosts)
      const key = keygen(client.directory, 'person', ...args)
      execFileSync('ssh-keygen', [
        '-q',
        '-s',
        authorities[index] ?? '',
        '-I',
        'badge 12',
        '-n',
        'alice',
        '-V',
        '-1m:+5m',
        `${key}.pub`,
      ])
      const first = ['-i', key, '-o', `CertificateFile=${key}-cert.pub`]
      const ran = await client.ssh([`${ME}@127.0.0.1`, 'echo in'], { first })
      t.equal(ran.stdout.toString(), 'in\n', ran.stderr)
      t.equal(gateway.signedIn.at(-1)?.keyId, 'badge 12')
    })
  }

  t.test('a CA that a reload has taken away vouches for nobody, and a line that is no key stops nobody', async (t) => {
    const [authority, other] = [newKey(), newKey()]
    let lines: readonly string[] = [authority.line]
    const gateway = await startGateway(t, () => sshd, { userAuthorities: () => lines })
    const enters = async (signer: SigningKey): Promise<boolean> => {
      const [raw, key] = [await rawClient(t, gateway.port), newKey()]
      raw.send(SERVICE)
      const blob = certificate(signer, key, {})
      const named = [ME, 'ssh-connection', 'publickey'].map((text) => string(text))
      const body = message(50, ...named, byte(1), string('ssh-ed25519-cert-v01@openssh.com'), string(blob))
      raw.send(Buffer.concat([body, string(key.sign(Buffer.concat([string(raw.transport.sessionId), body])))]))
      const answer = (await raw.nextOf(51, 52))?.[0]
      raw.destroy()
      return answer === 52
    }
    t.ok(await enters(authority))
    t.notOk(await enters(other))
    lines = ['ssh-ed25519 AAAA', other.line]
    t.notOk(await enters(authority))
    t.ok(await enters(other))
    lines = []
    t.notOk(await enters(other))
  })

  t.test('a certificate that is odd in any way is not one', async (t) => {
    const authority = newKey()
    const gateway = await startGateway(t, () => sshd, { userAuthorities: () => [authority.line] })
    const attempt = async (blob: Buffer, key: SigningKey, algorithm = 'ssh-ed25519-cert-v01@openssh.com') => {
      const raw = await rawClient(t, gateway.port)
      raw.send(SERVICE)
      const body = message(
        50,
        string(ME),
        string('ssh-connection'),
        string('publickey'),
        byte(1),
        string(algorithm),
        string(blob),
      )
      raw.send(Buffer.concat([body, string(key.sign(Buffer.concat([string(raw.transport.sessionId), body])))]))
      const answer = (await raw.nextOf(51, 52))?.[0]
      raw.destroy()
      return answer === 52
    }
    const key = newKey()
    t.ok(await attempt(certificate(authority, key, {}), key), 'a good one')
    t.ok(
      await attempt(
        certificate(authority, key, { critical: options(['source-address', '10.0.0.0/8,127.0.0.0/8']) }),
        key,
      ),
    )
    const seconds = BigInt(Math.floor(now() / 1000))
    const nested = certificate(authority, newKey(), {})
    const bad: Readonly<Record<string, Buffer>> = {
      'for a host': certificate(authority, key, { kind: 2 }),
      'for neither': certificate(authority, key, { kind: 0 }),
      expired: certificate(authority, key, { before: seconds - 1n }),
      'not valid yet': certificate(authority, key, { after: seconds + 100n }),
      'never valid': certificate(authority, key, { after: seconds, before: seconds }),
      'for everybody': certificate(authority, key, { principals: [] }),
      'for somebody else': certificate(authority, key, { principals: ['bob'] }),
      'with a wildcard': certificate(authority, key, { principals: ['*'] }),
      'with a NUL': certificate(authority, key, { principals: ['alice\0'] }),
      'with a space': certificate(authority, key, { principals: ['alice bob'] }),
      'by a stranger': certificate(newKey(), key, {}),
      'signed by somebody else': certificate(authority, key, { signer: newKey() }),
      'signed by itself': certificate(authority, key, { signer: key }),
      'signed by a certificate': certificate(authority, key, { authorityBlob: nested }),
      'changed afterwards': changed(certificate(authority, key, {})),
      'cut off': certificate(authority, key, {}).subarray(0, -20),
      'with bytes behind': Buffer.concat([certificate(authority, key, {}), Buffer.alloc(1)]),
      'with a forced command': certificate(authority, key, { critical: options(['force-command', 'id']) }),
      'with an unknown option': certificate(authority, key, { critical: options(['verify-required', '']) }),
      'from another address': certificate(authority, key, { critical: options(['source-address', '10.0.0.0/8']) }),
      'from no address': certificate(authority, key, { critical: options(['source-address', 'x/8']) }),
      'with an option twice': certificate(authority, key, {
        critical: options(['source-address', '127.0.0.1'], ['source-address', '127.0.0.1']),
      }),
      'with options out of order': certificate(authority, key, { extensions: options(['permit-pty', ''], ['a', '']) }),
      'without a nonce': certificate(authority, key, { nonce: Buffer.alloc(0) }),
      'of another type': certificate(authority, key, { type: 'ssh-dss-cert-v01@openssh.com' }),
      'with a signature of SHA-1': certificate(authority, key, { signatureType: 'ssh-rsa' }),
    }
    for (const [what, blob] of Object.entries(bad)) t.notOk(await attempt(blob, key), what)
    t.notOk(await attempt(certificate(authority, key, {}), newKey()), 'with a key that is not in it')
    t.notOk(await attempt(certificate(authority, key, {}), key, 'ssh-ed25519'), 'under the name of a plain key')
    t.equal(gateway.signedIn.length, 2)
  })
})

t.test('hosts', { skip }, async (t) => {
  const directory = folder(t)
  const authority = keygen(directory, 'host-ca', '-t', 'ed25519')
  const reach = async (
    t: Teardown,
    trust: (sshd: Sshd) => { keys?: string[]; knownHosts?: string[]; authorities?: string[] },
    names?: string,
  ) => {
    let sshd: Sshd | undefined
    const gateway = await startGateway(t, () => sshd, {
      hostTrust: () => ({ keys: [], knownHosts: [], authorities: [], ...(sshd === undefined ? {} : trust(sshd)) }),
    })
    const certify = names === undefined ? {} : { certify: { authority, names } }
    sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority, ...certify })
    const client = sshClient(t, gateway.port)
    client.trust(...gateway.knownHosts)
    gateway.allowed.add(client.fingerprint)
    const ran = await client.ssh([`${ME}@127.0.0.1`, 'echo in'])
    return { reached: ran.stdout.toString() === 'in\n', said: ran.stderr, gateway }
  }
  const hosts = (name: string, text: string) => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }

  t.test('pinned by key, by fingerprint, by known_hosts, by a CA', async (t) => {
    t.ok((await reach(t, (sshd) => ({ keys: [sshd.hostKey] }))).reached)
    t.ok((await reach(t, (sshd) => ({ keys: [sshd.fingerprint] }))).reached)
    t.ok(
      (await reach(t, (sshd) => ({ knownHosts: [hosts('plain', `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`)] })))
        .reached,
    )
    t.ok(
      (
        await reach(t, (sshd) => {
          const path = hosts('hashed', `[127.0.0.1]:${sshd.port} ${sshd.hostKey}\n`)
          execFileSync('ssh-keygen', ['-q', '-H', '-f', path], { stdio: 'ignore' })
          return { knownHosts: [path] }
        })
      ).reached,
      'hashed',
    )
    t.ok((await reach(t, () => ({ authorities: [line(authority)] }), '127.0.0.1')).reached)
  })

  t.test('a certificate for another name, by another CA, or none at all', async (t) => {
    const other = await reach(t, () => ({ authorities: [line(authority)] }), 'elsewhere')
    t.notOk(other.reached)
    t.match(other.said, /not for 127\.0\.0\.1/)
    const stranger = keygen(directory, `stranger-${randomBytes(3).toString('hex')}`, '-t', 'ed25519')
    t.notOk((await reach(t, () => ({ authorities: [line(stranger)] }), '127.0.0.1')).reached)
    t.match((await reach(t, () => ({ authorities: [line(authority)] }))).said, /a certificate of a trusted host CA/)
  })

  t.test('a revoked key', async (t) => {
    const { reached, said } = await reach(t, (sshd) => ({
      keys: [sshd.hostKey],
      knownHosts: [hosts('revoked', `@revoked * ${sshd.hostKey}\n`)],
    }))
    t.notOk(reached)
    t.match(said, /was revoked/)
  })

  t.test('"any" does not exist', async (t) => {
    t.throws(() => hostTrust({ keys: [], knownHosts: [], authorities: [] }, 'h', 22, now), /never taken on trust/)
    t.notOk((await reach(t, () => ({}))).reached)
  })
})

t.test('known_hosts patterns', async (t) => {
  const key = newKey().line
  const match = (pattern: string, name: string) => readKnownHosts(`${pattern} ${key}`)[0]?.matches(name) ?? false
  t.ok(match('*.example.com', 'db.example.com'))
  t.notOk(match('*.example.com', 'example.com'))
  t.ok(match('db?,web', 'db1'))
  t.notOk(match('*,!db1', 'db1'))
  t.ok(match('[h]:2222', knownName('H', 2222)))
  t.notOk(match(`${'*a'.repeat(50)}b`, 'a'.repeat(200)), 'without taking for ever')
  t.equal(readKnownHosts('# nothing\n\nrubbish\nh ssh-dss AAAA\n').length, 0)
})

t.test('our own keys', async (t) => {
  const directory = folder(t)
  const keys = ensureKeys(join(directory, 'keys'))
  t.equal(statSync(join(directory, 'keys', 'ssh-user-ca.pem')).mode & 0o777, 0o600)
  t.equal(ensureKeys(join(directory, 'keys')).userAuthority.line, keys.userAuthority.line, 'the same after a restart')
  chmodSync(join(directory, 'keys', 'ssh-user-ca.pem'), 0o644)
  t.throws(() => ensureKeys(join(directory, 'keys')), /mode 0600/)
  t.throws(
    () =>
      issueCertificate(keys.userAuthority, {
        kind: 'user',
        key: newKey().blob,
        keyId: '',
        principals: [],
        now: now(),
        seconds: 300,
        extensions: [],
      }),
    /good for everybody/,
  )
})

t.test('keys that people paste', async (t) => {
  t.throws(() => readKeyLine('ssh-dss AAAAB3NzaC1kc3M='))
  t.throws(() => readKeyLine(`ssh-ed25519 ${'A'.repeat(20_000)}`))
  const weak = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
  const blob = Buffer.concat([
    string('ssh-rsa'),
    string(Buffer.from(weak.e ?? '', 'base64url')),
    string(Buffer.concat([Buffer.alloc(1), Buffer.from(weak.n ?? '', 'base64url')])),
  ])
  t.throws(() => readKeyLine(`ssh-rsa ${blob.toString('base64')}`), /3072/)
})

t.test('where -L may go', async (t) => {
  t.ok(mayForward(['10.0.0.1:5432'], '10.0.0.1', 5432))
  t.notOk(mayForward(['10.0.0.1:5432'], '10.0.0.1', 5433))
  t.notOk(mayForward(['10.0.0.1:5432'], '10.0.0.11', 5432))
  t.ok(mayForward(['*.db.internal:*'], 'A.db.internal', 1))
  t.notOk(mayForward(['*.db.internal:*'], 'db.internal', 1))
  t.notOk(mayForward(['*.db.internal:*'], 'xdb.internal', 1))
  t.notOk(mayForward([], 'x', 1))
  t.notOk(mayForward(['*:*'], 'x', 1), 'everything does not exist')
})

t.test('the library underneath', async (t) => {
  const require = createRequire(import.meta.url)

  t.test('still has the faults that we work around; when one is gone, its fix can go', async (t) => {
    t.equal((require('ssh2/package.json') as { version: string }).version, '1.17.0')
    const stock = require('ssh2/lib/protocol/crypto.js') as {
      createCipher(config: object): object
      CIPHER_INFO: Record<string, object>
    }
    const config = (sslName: string) => ({
      outbound: {
        onWrite: () => undefined,
        cipherInfo: stock.CIPHER_INFO[sslName],
        cipherKey: Buffer.alloc(16),
        cipherIV: Buffer.alloc(12),
        seqno: 0,
        forceNative: true,
      },
    })
    t.ok(Buffer.isBuffer(Reflect.get(stock.createCipher(config('aes128-gcm@openssh.com')), '_encKey')), 'raw keys')
    const source = (name: string) => readFileSync(require.resolve(`ssh2/lib/protocol/${name}`), 'utf8')
    t.match(source('Protocol.js'), /nistp521'\s+\+ 'rsa-sha2-512/, 'a comma is missing in server-sig-algs')
    t.match(
      source('handlers.misc.js'),
      /bufferParser\.init\(modesBinary, 1\)/,
      'terminal modes are read from the second byte',
    )
    t.match(source('crypto.js'), /randomFillSync\(packet, 5 \+ payloadLen/, 'random bytes packet by packet')
    t.notMatch(source('kex.js'), /mlkem/, 'no post-quantum key exchange')
    t.notMatch(source('keyParser.js'), /cert-v01/, 'no certificates')
  })

  t.test('our copy is fixed, everybody else keeps theirs', async (t) => {
    const stock = require('ssh2/lib/protocol/Protocol.js') as unknown
    const ours = loadSsh2()
    t.not(ours.Protocol, stock)
    t.equal(require('ssh2/lib/protocol/Protocol.js'), stock)
    t.equal(ours.postQuantum, true)
    t.type(ours.cipherAddon, 'boolean')
  })

  t.test('both roles agree on a post-quantum key exchange', async (t) => {
    const gateway = await startGateway(t, () => undefined)
    const raw = await rawClient(t, gateway.port)
    // oxlint-disable-next-line no-underscore-dangle -- the inside of ssh2 is named so
    t.equal(raw.transport.protocol._kex?.negotiated.kex, 'mlkem768x25519-sha256')
    raw.transport.rekey()
    raw.send(SERVICE)
    t.ok(await raw.nextOf(6), 'and again')
    raw.destroy()
  })
})

type Parts = {
  readonly type?: string
  readonly kind?: number
  readonly nonce?: Buffer
  readonly principals?: readonly string[]
  readonly after?: bigint
  readonly before?: bigint
  readonly critical?: Buffer
  readonly extensions?: Buffer
  readonly authorityBlob?: Buffer
  readonly signer?: SigningKey
  readonly signatureType?: string
}

/** A certificate by hand, good or not. */
function certificate(authority: SigningKey, key: SigningKey, parts: Parts): Buffer {
  const seconds = BigInt(Math.floor(now() / 1000))
  const body = Buffer.concat([
    string(parts.type ?? 'ssh-ed25519-cert-v01@openssh.com'),
    string(parts.nonce ?? randomBytes(32)),
    string(key.blob.subarray(-32)),
    uint64(1n),
    uint32(parts.kind ?? 1),
    string('badge'),
    string(Buffer.concat((parts.principals ?? ['alice']).map(string))),
    uint64(parts.after ?? seconds - 60n),
    uint64(parts.before ?? seconds + 300n),
    string(parts.critical ?? Buffer.alloc(0)),
    string(parts.extensions ?? Buffer.alloc(0)),
    string(''),
    string(parts.authorityBlob ?? authority.blob),
  ])
  const signer = parts.signer ?? authority
  const signature =
    parts.signatureType === undefined
      ? signer.sign(body)
      : Buffer.concat([string(parts.signatureType), string(signer.signRaw(body))])
  return Buffer.concat([body, string(signature)])
}

const options = (...entries: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(
    entries.map(([name, value]) => Buffer.concat([string(name), string(value === '' ? '' : string(value))])),
  )

function changed(blob: Buffer): Buffer {
  const copy = Buffer.from(blob)
  const at = copy.indexOf('badge')
  copy[at] = 'B'.charCodeAt(0)
  return copy
}
