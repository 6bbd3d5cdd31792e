/** whoami, logout, ssh-config: about the person and the way here. */
import { plain } from '../screen/text.ts'
import { type Command, printJson, typed } from './command.ts'
import { isoTime } from './json.ts'
import { clockTime, spanOf } from './spans.ts'

export const whoami: Command = {
  name: 'whoami',
  usage: '[--json]',
  summary: 'who you are here, and how you signed in',
  example: 'whoami',
  options: { json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const { identity, console, clock, desk } = context
    const { proof } = identity
    const duties = [...(desk.isAdmin(identity) ? ['admin'] : []), ...(desk.isAuditor(identity) ? ['auditor'] : [])]
    if (given.flag('json'))
      return printJson(context, {
        username: identity.username,
        groups: identity.groups,
        provider: identity.provider,
        duties,
        acr: proof.acr ?? null,
        amr: proof.amr,
        signedInAt: isoTime(proof.authTime),
      })
    const groups = identity.groups.length > 0 ? identity.groups.join(', ') : 'no group'
    const how = proof.amr.length > 0 ? ` with ${proof.amr.join(', ')}` : ''
    await console.print(
      [
        `${identity.username} (${plain(groups)})${duties.length > 0 ? `, ${duties.join(' and ')}` : ''}`,
        `signed in at ${plain(identity.provider)}${plain(how)}, ${spanOf(clock.now() - proof.authTime)} ago (${clockTime(proof.authTime, clock.now())})`,
        '',
      ].join('\n'),
    )
    return 0
  },
}

export const logout: Command = {
  name: 'logout',
  usage: '',
  summary: 'forget your keys: the next connection asks you to sign in again',
  example: 'logout',
  options: {},
  words: [0, 0],
  async run({ identity, console, signIns }) {
    const forgotten = await signIns.forget(identity)
    await console.print(
      `${forgotten === 1 ? 'One key is' : `${forgotten} keys are`} forgotten. The next connection asks you to sign in again.\n`,
    )
    return 0
  },
}

export const sshConfig: Command = {
  name: 'ssh-config',
  usage: '',
  summary: 'lines for ~/.ssh/config, so that `ssh TARGET`, scp, sftp, rsync and editors just work',
  example: 'ssh-config >> ~/.ssh/config',
  options: {},
  words: [0, 0],
  async run(context) {
    const { identity, console, address, desk, hostKeys } = context
    const names = (await desk.targets(identity)).filter(({ target }) => target.ssh !== undefined)
    const block = (host: string, user: string): string =>
      `\nHost ${host}\n  HostName ${address.host}\n  Port ${address.port}\n  User ${user}\n`
    const knownHost = address.port === 22 ? address.host : `[${address.host}]:${address.port}`
    await console.print(
      [
        `# Sallyport for ${identity.username}. Append it to ~/.ssh/config: ${typed(context, 'ssh-config')} >> ~/.ssh/config\n`,
        block('sallyport', identity.username),
        ...names.map(({ target }) => block(target.name, `${identity.username}%${target.name}`)),
        '\n# For ~/.ssh/known_hosts: the key of the gateway, and its authority for `ssh -J`.\n',
        `# ${knownHost} ${hostKeys.host}\n`,
        `# @cert-authority ${[knownHost, ...names.map(({ target }) => target.name)].join(',')} ${hostKeys.hostAuthority}\n`,
      ].join(''),
    )
    return 0
  },
}
