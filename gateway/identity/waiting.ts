/**
 * A sign-in of ssh or psql that waits for a browser, as the store keeps it: begun in one worker, answered in another.
 *
 *   waiting ──right code──▶ approved ──▶ taken       (`type`: the terminal shows the code)
 *   waiting ──revealed──▶ shown ──right code──▶ taken   (`show`: the page shows the code)
 *      └── denied, too many tries, timeout, client gone ──▶ over
 */
import { randomBytes } from 'node:crypto'
import type { Identity, Username } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { SignInQuestion } from '../session/session.ts'
import type { Statements } from '../state/state.ts'
import { codeHash } from './code.ts'
import { hashOf } from './cookie-secret.ts'
import { identityOf, number, proofText, type Row, text, textOrNone } from './row.ts'

export const TRIES = 5

/**
 * Questions under way: of one person at one address, of one address, and in all. Connections that one approval lets in count once, up to a point.
 * Never of one person anywhere: whoever knows a name could keep its owner out.
 */
const MOST = { ofPerson: 8, fromAddress: 16, inAll: 2000, joint: 64 }
/** How long it is remembered what became of a question. */
const KEPT_MS = 10 * 60_000

export type Direction = 'type' | 'show'

export type Waiting = SignInQuestion & {
  readonly id: string
  /** Equal for questions that one approval answers. */
  readonly joint: string
  readonly direction: Direction
  readonly state: 'waiting' | 'shown' | 'approved' | 'taken' | 'over'
  readonly codeHash: string | undefined
  /** Undefined: no passkey is asked for. Empty: one is. Else the credential that answered. */
  readonly passkey: string | undefined
  /** Why it is over, as a sentence. */
  readonly detail: string
  readonly askedAt: Moment
  readonly expiresAt: Moment
}

/** @throws {Refusal} TOO_MANY. */
export async function insert(
  tx: Statements,
  question: SignInQuestion,
  how: {
    readonly direction: Direction
    readonly code: string | undefined
    readonly passkey: boolean
    readonly now: Moment
    readonly ms: number
  },
): Promise<{ readonly id: string; readonly expiresAt: Moment }> {
  const id = randomBytes(16).toString('base64url')
  // A touch is for one session; everything else may be answered for several.
  const joint = how.passkey ? id : jointOf(question, how.direction, id)
  const expiresAt = after(how.now, how.ms)
  await tx.run('delete from waiting_sign_ins where expires_at <= $1', [how.now - KEPT_MS])
  await refuseCrowd(tx, question, joint, how.now)
  await tx.run(
    `insert into waiting_sign_ins
       (id, joint, direction, kind, username, source_address, client_version, key_fingerprint, target, code_hash,
        tries, state, detail, asked_at, expires_at, passkey)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 'waiting', '', $11, $12, $13)`,
    [
      id,
      joint,
      how.direction,
      question.kind,
      question.username,
      question.sourceAddress,
      printable(question.clientVersion),
      question.keyFingerprint ?? null,
      question.target === undefined ? null : printable(question.target),
      how.code === undefined ? null : codeHash(id, how.code),
      how.now,
      expiresAt,
      how.passkey ? '' : null,
    ],
  )
  return { id, expiresAt }
}

/**
 * One approval answers what is certainly one person at one place: the same proven key, or, where there is none, connections
 * of the same user name to the same target from the same address (the page says how many there are).
 */
function jointOf(question: SignInQuestion, direction: Direction, id: string): string {
  if (direction === 'show') return id
  const { kind, username, sourceAddress, keyFingerprint, target } = question
  const place = keyFingerprint === undefined ? [kind, target ?? null] : [keyFingerprint]
  return hashOf(JSON.stringify([username, sourceAddress, ...place]))
}

async function refuseCrowd(tx: Statements, question: SignInQuestion, joint: string, now: Moment): Promise<void> {
  const [counted] = await tx.all<Row>(
    `select count(*) as in_all,
            count(distinct case when username = $1 and source_address = $2 and joint <> $3 then joint end) as of_person,
            count(distinct case when source_address = $2 and joint <> $3 then joint end) as from_address,
            coalesce(sum(case when joint = $3 then 1 else 0 end), 0) as joint
     from waiting_sign_ins where state in ('waiting', 'shown') and expires_at > $4`,
    [question.username, question.sourceAddress, joint, now],
  )
  const isCrowd =
    counted === undefined ||
    number(counted, 'in_all') >= MOST.inAll ||
    number(counted, 'of_person') >= MOST.ofPerson ||
    number(counted, 'from_address') >= MOST.fromAddress ||
    number(counted, 'joint') >= MOST.joint
  if (isCrowd)
    throw new Refusal('TOO_MANY', 'Too many sign-ins are waiting for a browser.', {
      next: 'Finish or close the others, or try again in a few minutes.',
    })
}

/** What a client says about itself goes to a page: one line, no control characters. */
const printable = (said: string): string => said.replaceAll(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?').slice(0, 200)

export async function find(store: Statements, id: string): Promise<Waiting | undefined> {
  const [row] = await store.all<Row>('select * from waiting_sign_ins where id = $1', [id.slice(0, 64)])
  if (row === undefined) return undefined
  return {
    id: text(row, 'id'),
    joint: text(row, 'joint'),
    direction: text(row, 'direction') as Direction,
    state: text(row, 'state') as Waiting['state'],
    kind: text(row, 'kind') as SignInQuestion['kind'],
    username: text(row, 'username') as Username,
    sourceAddress: text(row, 'source_address'),
    clientVersion: text(row, 'client_version'),
    keyFingerprint: textOrNone(row, 'key_fingerprint'),
    target: textOrNone(row, 'target'),
    codeHash: textOrNone(row, 'code_hash'),
    passkey: textOrNone(row, 'passkey'),
    detail: text(row, 'detail'),
    askedAt: number(row, 'asked_at') as Moment,
    expiresAt: number(row, 'expires_at') as Moment,
  }
}

/** How many connections one approval lets in now. */
export async function connections(store: Statements, joint: string, now: Moment): Promise<number> {
  const [row] = await store.all<Row>(
    `select count(*) as n from waiting_sign_ins where joint = $1 and state = 'waiting' and expires_at > $2`,
    [joint, now],
  )
  return row === undefined ? 0 : number(row, 'n')
}

/** Spends a try before the code is looked at, so that guesses at the same moment count each. Undefined: none was left, or it is over. */
export async function spendTry(
  store: Statements,
  id: string,
  now: Moment,
): Promise<{ readonly left: number } | undefined> {
  const spent = await store.run(
    `update waiting_sign_ins set tries = tries + 1
     where id = $1 and tries < $2 and state in ('waiting', 'shown') and expires_at > $3`,
    [id, TRIES, now],
  )
  if (spent === 0) return undefined
  const [row] = await store.all<Row>('select tries from waiting_sign_ins where id = $1', [id])
  return { left: row === undefined ? 0 : TRIES - number(row, 'tries') }
}

/** Ends a question, and those that the same answer is for. False: it was over before. */
export async function finish(
  store: Statements,
  which: { readonly id: string } | { readonly joint: string },
  detail: string,
) {
  const [column, key] = 'id' in which ? ['id', which.id] : ['joint', which.joint]
  const ended = await store.run(
    `update waiting_sign_ins set state = 'over', detail = $1 where ${column} = $2 and state in ('waiting', 'shown', 'approved')`,
    [detail, key],
  )
  return ended > 0
}

/** The right code came: this question and its joint ones are answered. False: somebody or the clock was faster. */
export async function approve(
  tx: Statements,
  waiting: Waiting,
  who: Identity,
  how: { readonly now: Moment; readonly passkey: string | undefined },
): Promise<boolean> {
  const { now } = how
  const answered = await tx.run(
    `update waiting_sign_ins set state = 'approved', subject = $1, provider = $2, proof = $3, passkey = $4
     where id = $5 and state = 'waiting' and expires_at > $6`,
    [who.subject, who.provider, proofText(who.proof), how.passkey ?? null, waiting.id, now],
  )
  if (answered === 0) return false
  await tx.run(
    `update waiting_sign_ins set state = 'approved', subject = $1, provider = $2, proof = $3
     where joint = $4 and state = 'waiting' and expires_at > $5`,
    [who.subject, who.provider, proofText(who.proof), waiting.joint, now],
  )
  return true
}

/** The page shows a code: whoever types it is this person. A code that was shown before is worthless from now on. */
export async function show(tx: Statements, id: string, code: string, who: Identity, now: Moment): Promise<boolean> {
  const shown = await tx.run(
    `update waiting_sign_ins set state = 'shown', code_hash = $1, subject = $2, provider = $3, proof = $4
     where id = $5 and direction = 'show' and state in ('waiting', 'shown') and expires_at > $6`,
    [codeHash(id, code), who.subject, who.provider, proofText(who.proof), id, now],
  )
  return shown > 0
}

export type Taken = { readonly identity: Identity; readonly passkey: string | undefined }

/** The answer, once. `code` is the hash that was compared, so that a code that was replaced meanwhile opens nothing. */
export async function take(
  tx: Statements,
  id: string,
  from: 'approved' | 'shown',
  hash: string | undefined,
  now: Moment,
): Promise<Taken | undefined> {
  const taken = await tx.run(
    `update waiting_sign_ins set state = 'taken'
     where id = $1 and state = $2 and code_hash = $3 and expires_at > $4`,
    [id, from, hash ?? '', now],
  )
  if (taken === 0) return undefined
  const [row] = await tx.all<Row>(
    `select w.subject, w.provider, w.proof, w.passkey, p.username, p.member_of
     from waiting_sign_ins w join people p on p.subject = w.subject where w.id = $1`,
    [id],
  )
  return row === undefined ? undefined : { identity: identityOf(row), passkey: textOrNone(row, 'passkey') }
}
