/** Front door: stock PostgreSQL clients reach a target's database under a live grant. */
export type { BearerTokens } from './bearer.ts'
export type { CreateJudge, JudgeContext, Judgement, SqlJudge, TransactionStatus } from './judge.ts'
export type {
  DatabaseTokens,
  LiveToken,
  PostgresParts,
  PostgresSettings,
  RoleIntent,
  RoleIntents,
  SignInLeases,
} from './parts.ts'
export { scramVerifier } from './scram.ts'
export { createPostgresTerminator, type ListenOptions, type PostgresTerminator } from './terminator.ts'
