/** Everything about a server and one of its databases that a reader must leave as it was. */
import { createHash } from 'node:crypto'
import { Client } from 'pg'
import type { PostgresServer } from '../../test/fixtures/postgres.ts'
import { SqlClient } from './sql-client.ts'
import { admin, PASSWORD, TEMPLATE } from './sql-fixture.ts'

/** Whole, and in the order they lie: copying plans nothing, so nothing planted runs. */
const CATALOGS =
  `pg_proc pg_type pg_operator pg_cast pg_constraint pg_index pg_trigger pg_policy pg_rewrite pg_namespace pg_attrdef pg_aggregate
  pg_enum pg_extension pg_foreign_server pg_foreign_table pg_user_mapping pg_inherits pg_sequence pg_statistic pg_statistic_ext
  pg_seclabel pg_description pg_default_acl pg_event_trigger pg_publication pg_largeobject pg_largeobject_metadata pg_authid
  pg_auth_members pg_db_role_setting pg_tablespace pg_replication_origin`.split(/\s+/)

const REST = `
COPY (SELECT oid, relname, relnamespace, relkind, relowner, relacl, relfilenode, reloptions, relrowsecurity, relispopulated FROM pg_class ORDER BY oid) TO STDOUT;
COPY (SELECT attrelid, attname, atttypid, attnum, attisdropped FROM pg_attribute WHERE attrelid >= 16384 ORDER BY 1, 4) TO STDOUT;
COPY (SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2) TO STDOUT;
COPY (SELECT slot_name FROM pg_replication_slots ORDER BY 1) TO STDOUT;
COPY (SELECT gid FROM pg_prepared_xacts ORDER BY 1) TO STDOUT;
COPY (SELECT locktype, mode, classid, objid FROM pg_locks WHERE pid <> pg_backend_pid() AND (locktype = 'advisory' OR (locktype IN ('relation', 'tuple', 'object') AND mode <> 'AccessShareLock'))) TO STDOUT;
COPY (SELECT pg_read_file('postgresql.auto.conf')) TO STDOUT;
COPY (SELECT name, setting FROM pg_file_settings ORDER BY 1) TO STDOUT;
COPY (SELECT stats_reset FROM pg_stat_bgwriter UNION ALL SELECT stats_reset FROM pg_stat_archiver) TO STDOUT;
COPY (SELECT pg_snapshot_xmax(pg_current_snapshot())) TO STDOUT;`

export class Laboratory {
  readonly server: PostgresServer
  readonly #root: Client
  #observer: SqlClient | undefined
  #victim: Client | undefined
  #heard = 0
  #number = 0
  #victimIsGone = false
  database = ''

  private constructor(server: PostgresServer, root: Client) {
    this.server = server
    this.#root = root
  }

  static async open(server: PostgresServer): Promise<Laboratory> {
    const root = admin(server, 'postgres')
    await root.connect()
    const laboratory = new Laboratory(server, root)
    root.on('notification', () => {
      laboratory.#heard += 1
    })
    await laboratory.renew()
    return laboratory
  }

  /** A fresh database, and whatever else a case may have damaged. */
  async renew(): Promise<void> {
    this.#observer?.close()
    const old = this.database
    this.#number += 1
    this.database = `case_${this.#number}`
    this.#heard = 0
    await this.#root.query(`CREATE DATABASE ${this.database} TEMPLATE ${TEMPLATE}`)
    if (old !== '') await this.#root.query(`DROP DATABASE ${old} WITH (FORCE)`)
    const { rows } = await this.#root.query("SELECT FROM pg_replication_slots WHERE slot_name = 'keepme'")
    if (rows.length === 0) await this.#root.query("SELECT pg_create_physical_replication_slot('keepme')")
    this.#observer = await SqlClient.direct(this.login('postgres', this.server.password))
    await this.#observer.query('LISTEN ch')
    if (this.#victim === undefined || this.#victimIsGone) await this.#newVictim()
  }

  async #newVictim(): Promise<void> {
    const login = { host: '127.0.0.1', port: this.server.port, user: 'app_rw', password: PASSWORD }
    const client = new Client({ ...login, database: 'postgres', application_name: 'victim' })
    client.on('error', () => {
      this.#victimIsGone = true
    })
    client.on('end', () => {
      this.#victimIsGone = true
    })
    await client.connect()
    this.#victim = client
    this.#victimIsGone = false
  }

  login(user: string, password = PASSWORD, startup: Readonly<Record<string, string>> = {}) {
    return { port: this.server.port, user, password, database: this.database, startup }
  }

  /** Of a function, given with its argument types, or of a type; 0 where this server has none. */
  async oid(name: string): Promise<number> {
    const kind = name.endsWith(')') ? 'regprocedure' : 'regtype'
    const client = admin(this.server, this.database)
    await client.connect()
    try {
      const { rows } = await client.query<{ oid: number }>(`SELECT to_${kind}($1)::oid AS oid`, [name])
      return rows[0]?.oid ?? 0
    } finally {
      await client.end()
    }
  }

  async fingerprint(): Promise<string> {
    const observer = this.#observer
    if (observer === undefined) throw new Error('no database')
    const tables = await observer.query(
      "COPY (SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_toast' ORDER BY 1) TO STDOUT",
    )
    const names = tables.flatMap(({ type, body }) => (type === 'd' ? [body.toString().trim()] : []))
    const copies = [...CATALOGS.map((name) => `pg_catalog.${name}`), ...names]
    // A materialised view cannot be copied by name before 18; what it is made of can.
    const text = copies.map((name) => (name.includes('mv') ? '' : `COPY ${name} TO STDOUT;`)).join('\n')
    const hash = createHash('sha256')
    for (const { type, body } of [...(await observer.query(text)), ...(await observer.query(REST))]) {
      if (type === 'E') throw new Error(body.toString())
      if (type === 'A') this.#heard += 1
      if (type === 'd') hash.update(body)
    }
    return `${hash.digest('hex')} ${this.#heard} ${this.#victimIsGone}`
  }

  async close(): Promise<void> {
    this.#observer?.close()
    await this.#victim?.end().catch(() => undefined)
    await this.#root.end()
  }
}
