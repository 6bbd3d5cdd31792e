/** The statements that make and drop a grant's role, for PostgreSQL 13 to 18. docs/postgres-target.md says what the provisioner needs. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PostgresScope } from '../model/role.ts'
import { quoteName, quoteText, type UpkeepClient } from './upkeep.ts'

export type NewRole = {
  readonly name: string
  readonly verifier: string
  /** From now by the target's clock. */
  readonly seconds: number
  readonly scope: PostgresScope
}

type Elsewhere = (database: string, run: (client: UpkeepClient) => Promise<void>) => Promise<void>

/** Connections of one grant from one worker; a pool and a few tools. */
const CONNECTION_LIMIT = 24
const TERMINATE_TRIES = 100
const TERMINATE_PAUSE_MS = 30
/** Advisory locks of ours are told apart by this first key. */
const LOCK_CLASS = 1_396_788_812

/** One transaction: the role is there whole or not at all. */
export async function createRole(client: UpkeepClient, { name, verifier, seconds, scope }: NewRole): Promise<void> {
  const role = quoteName(name)
  await client.query('BEGIN')
  try {
    // From 16 on a role's maker is its member only so far as it says here; it must be, to drop what the role owns.
    if (client.serverVersion >= 16) await client.query("SET LOCAL createrole_self_grant = 'set, inherit'")
    const until = await timeThere(client, seconds)
    const template = scope.template === undefined ? '' : ` IN ROLE ${quoteName(scope.template)}`
    await client.query(
      `CREATE ROLE ${role} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT ${CONNECTION_LIMIT}` +
        ` PASSWORD ${quoteText(verifier)} VALID UNTIL ${quoteText(until)}${template}`,
    )
    for (const [setting, value] of settingsOf(scope))
      await client.query(`ALTER ROLE ${role} SET ${setting} = ${quoteText(value)}`)
    await client.query('COMMIT')
  } catch (failure) {
    await client.query('ROLLBACK')
    throw failure
  }
}

function settingsOf(scope: PostgresScope): readonly (readonly [string, string])[] {
  const timeout: readonly [string, string][] =
    scope.statementTimeoutMs > 0 ? [['statement_timeout', `${scope.statementTimeoutMs}`]] : []
  if (scope.mode === 'read-only') return [['default_transaction_read_only', 'on'], ...timeout]
  // What a person makes belongs to the template, so it stays when the grant's role goes.
  return scope.template === undefined ? timeout : [['role', scope.template], ...timeout]
}

export async function extendRole(client: UpkeepClient, name: string, seconds: number): Promise<void> {
  const until = await timeThere(client, seconds)
  await client.query(`ALTER ROLE ${quoteName(name)} VALID UNTIL ${quoteText(until)}`)
}

async function timeThere(client: UpkeepClient, seconds: number): Promise<string> {
  const rows = await client.query(
    `SELECT pg_catalog.to_char((pg_catalog.now() + interval '${Math.ceil(seconds)} seconds') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')`,
  )
  return `${rows[0]?.[0] ?? ''}+00`
}

/**
 * Ends the role's sessions and drops it. What it owns goes to the template role of which it is a member, if there is one.
 * A role that is not there is fine.
 */
export async function dropRole(client: UpkeepClient, name: string, elsewhere: Elsewhere): Promise<void> {
  const found = await client.query(`SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ${quoteText(name)}`)
  const oid = found[0]?.[0]
  if (oid === undefined || oid === null) return
  const role = quoteName(name)
  // No new logins first; then those that are in; what owns something last.
  await client.query(`ALTER ROLE ${role} NOLOGIN CONNECTION LIMIT 0 PASSWORD NULL`)
  if (client.serverVersion < 16) await client.query(`GRANT ${role} TO CURRENT_USER`)
  await terminate(client, oid)
  const heir = await templateOf(client, oid)
  const disown = async (on: UpkeepClient) => {
    if (heir !== undefined) await on.query(`REASSIGN OWNED BY ${role} TO ${quoteName(heir)}`)
    await on.query(`DROP OWNED BY ${role} CASCADE`)
  }
  await disown(client)
  for (const database of await databasesOf(client, oid)) await elsewhere(database, disown)
  await client.query(`DROP ROLE IF EXISTS ${role}`)
  // A login that had passed the check before NOLOGIN is found by the number: it has no name any more.
  await terminate(client, oid)
}

async function terminate(client: UpkeepClient, oid: string): Promise<void> {
  for (let tries = 0; tries < TERMINATE_TRIES; tries++) {
    const alive = await client.query(
      `SELECT pid, pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usesysid = ${quoteText(oid)}::pg_catalog.oid`,
    )
    if (alive.length === 0) return
    await sleep(TERMINATE_PAUSE_MS)
  }
}

async function templateOf(client: UpkeepClient, oid: string): Promise<string | undefined> {
  const rows = await client.query(
    `SELECT r.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid WHERE m.member = ${quoteText(oid)}::pg_catalog.oid LIMIT 1`,
  )
  return rows[0]?.[0] ?? undefined
}

async function databasesOf(client: UpkeepClient, oid: string): Promise<readonly string[]> {
  const rows = await client.query(
    `SELECT DISTINCT d.datname FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d ON d.oid = s.dbid WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = ${quoteText(oid)}::pg_catalog.oid AND d.datname <> pg_catalog.current_database()`,
  )
  return rows.flatMap(([name]) => (typeof name === 'string' ? [name] : []))
}

/** Roles of this deployment, or undefined while another process is sweeping this target. The lock ends with the connection. */
export async function orphans(client: UpkeepClient, prefix: string): Promise<readonly string[] | undefined> {
  const lock = await client.query(
    `SELECT pg_catalog.pg_try_advisory_lock(${LOCK_CLASS}, pg_catalog.hashtext(${quoteText(prefix)}))`,
  )
  if (lock[0]?.[0] !== 't') return undefined
  const rows = await client.query(
    `SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.starts_with(rolname::text, ${quoteText(prefix)})`,
  )
  return rows.flatMap(([name]) => (typeof name === 'string' ? [name] : []))
}
