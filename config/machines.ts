/** Machines: programs that sign in with a client certificate instead of a person's browser. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { groups, name } from './words.ts'

const machine = z
  .strictObject({
    /** Exactly one of these says which certificate is the machine's. */
    uri: z.url().optional(),
    dns: z.string().min(1).optional(),
    common_name: z.string().min(1).optional(),
    groups: groups.min(1),
  })
  .transform(({ uri, dns, common_name: commonName, groups: own }, context) => {
    const given = [
      { kind: 'uri' as const, value: uri },
      { kind: 'dns' as const, value: dns },
      { kind: 'common-name' as const, value: commonName },
    ].flatMap(({ kind, value }) => (value === undefined ? [] : [{ kind, value }]))
    const [certificate] = given
    if (certificate !== undefined && given.length === 1) return { certificate, groups: own }
    context.addIssue({ code: 'custom', message: 'say one of uri, dns, common_name: what its certificate names' })
    return z.NEVER
  })

export const machines = z.strictObject({
  /** PEM: the CAs that sign certificates of machines, and nobody else's. */
  ca: z.string().min(1),
  names: z.record(name, machine),
})

type Complaint = { readonly path: readonly PropertyKey[]; readonly message: string }

export function* machineChecks(given: z.output<typeof machines> | undefined): Generator<Complaint> {
  if (given === undefined) return
  const wrong = faultOf(given.ca)
  if (wrong !== undefined)
    yield { path: ['machines', 'ca'], message: `${given.ca} ${wrong}; give the PEM file of the CA for machines` }
  const owners = new Map<string, string>()
  for (const [owner, { certificate }] of Object.entries(given.names)) {
    const key = `${certificate.kind} ${certificate.value}`
    const other = owners.get(key)
    if (other !== undefined) yield { path: ['machines', 'names', owner], message: `has the certificate of "${other}"` }
    owners.set(key, owner)
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

function faultOf(file: string): string | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return 'is not there'
  }
  const all = text.match(CERTIFICATE) ?? []
  if (all.length === 0) return 'holds no certificate'
  try {
    return all.every((pem) => new X509Certificate(pem).ca) ? undefined : 'holds a certificate that is not of a CA'
  } catch {
    return 'holds a certificate that cannot be read'
  }
}
