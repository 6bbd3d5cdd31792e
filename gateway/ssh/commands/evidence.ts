/** evidence: the whole story of a grant with its recordings, as one signed file that anybody can check offline. */
import { Refusal } from '../../model/refusal.ts'
import { type Command, WrongUsage } from './command.ts'

export const evidence: Command = {
  name: 'evidence',
  usage: 'NUMBER > FILE',
  summary: 'one signed file about a grant: request, approvals, recordings',
  example: 'evidence 17 > grant-17.evidence',
  details: "Check it with `npm run verify -- FILE --keys DIR`, where DIR holds the gateways' *.pub.pem.",
  options: {},
  words: [1, 1],
  async run(context, given) {
    const { audit, clock, console, desk, identity, library, role } = context
    if (console.hasTerminal)
      throw new WrongUsage('Send it to a file, and use no terminal: ssh gateway evidence NUMBER > FILE')
    const grant = await desk.grant(identity, given.grantId(0))
    if (!desk.isAuditor(identity) && !desk.isAdmin(identity) && grant.subject !== identity.subject)
      throw new Refusal('NOT_ALLOWED', 'Evidence holds recordings, which are for auditors to see.', {
        next: 'Ask an auditor for it.',
      })
    audit({
      id: crypto.randomUUID(),
      at: clock.now(),
      kind: 'grant.exported',
      actor: identity.username,
      grant: grant.id,
      session: undefined,
      target: grant.target,
      text: `${identity.username} took the evidence about grant ${grant.id} of ${grant.username}.`,
      details: { by: 'ssh' },
    })
    for await (const line of library.evidence({
      grant,
      role: role(grant.role),
      by: identity.username,
      at: clock.now(),
    })) {
      console.closed.throwIfAborted()
      await console.print(line)
    }
    return 0
  },
}
