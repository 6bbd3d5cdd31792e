/** The embedded engine's configuration: who may do what, how much memory, nothing but loopback. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import path from 'node:path'

export type Passwords = { readonly migrator: string | undefined; readonly shipper: string; readonly auditor: string }

const MB = 1_000_000

/**
 * Writes config.xml and users.xml (0600) into `dir`; returns config.xml's path.
 * The engine's own session must be `default` without a password. It holds the only session that this user may have,
 * so that nobody else can log in as `default`.
 */
export function writeConfig(dir: string, port: number, passwords: Passwords): string {
  const users = path.join(dir, 'users.xml')
  const config = path.join(dir, 'config.xml')
  writeFileSync(users, usersXml(passwords), { mode: 0o600 })
  writeFileSync(config, configXml(dir, users, port), { mode: 0o600 })
  return config
}

const configXml = (dir: string, users: string, port: number): string => `<clickhouse>
  <users_config>${users}</users_config>
  <user_directories><users_xml><path>${users}</path></users_xml></user_directories>
  <path>${dir}/data/</path>
  <logger><log>${dir}/clickhouse.log</log><size>10M</size><count>2</count></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${port}</http_port>
  <keep_alive_timeout>3</keep_alive_timeout>
  <max_concurrent_queries>64</max_concurrent_queries>
  <max_server_memory_usage>${1_500 * MB}</max_server_memory_usage>
  <mark_cache_size>${64 * MB}</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <mmap_cache_size>100</mmap_cache_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
</clickhouse>
`

const usersXml = ({ migrator, shipper, auditor }: Passwords): string => `<clickhouse>
  <profiles>
    <default></default>
    <boot><max_sessions_for_user>1</max_sessions_for_user></boot>
    <writer><max_memory_usage>${800 * MB}</max_memory_usage><max_threads>2</max_threads></writer>
    <reader>
      <readonly>2</readonly>
      <max_memory_usage>${800 * MB}</max_memory_usage>
      <max_threads>2</max_threads>
      <max_concurrent_queries_for_user>32</max_concurrent_queries_for_user>
    </reader>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password><networks><ip>127.0.0.1</ip></networks><profile>boot</profile><quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query><query>GRANT READ ON FILE</query></grants>
    </default>
    ${migrator === undefined ? '' : user('migrator', migrator, 'writer', 'GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, SELECT, INSERT ON audit.*', 'GRANT TABLE ENGINE ON *')}
    ${user('shipper', shipper, 'writer', 'GRANT SELECT, INSERT ON audit.*')}
    ${user('auditor', auditor, 'reader', 'GRANT SELECT ON audit.*')}
  </users>
</clickhouse>
`

const user = (name: string, password: string, profile: string, ...grants: readonly string[]): string => `<${name}>
      <password_sha256_hex>${createHash('sha256').update(password).digest('hex')}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks><profile>${profile}</profile><quota>default</quota>
      <grants>${grants.map((grant) => `<query>${grant}</query>`).join('')}</grants>
    </${name}>`
