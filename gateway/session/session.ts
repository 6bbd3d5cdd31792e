/** Front door: admission to a target, and the road that everything takes from there. */
export type { AccessDesk, Ask, GrantFilter, RevokeScope, TargetView } from './access.ts'
export {
  type Admission,
  type AdmitParts,
  admit,
  type GrantBook,
  type GrantNotice,
  isAdmission,
  PasskeyMissing,
  type Tenure,
  type Wish,
} from './admit.ts'
export { type HoldDesk, isPermit, type Permit, secondPerson } from './hold.ts'
export type { Library, RecordedEvent, SearchHit, SearchQuery, SessionFilter, SessionRow } from './library.ts'
export { type OpenParts, type Opening, openSession, type Session, type SessionBook } from './open.ts'
export type { Recorder, Recording } from './recorder.ts'
export { type Judged, Road, type RoadParts } from './road.ts'
export { SharedReads } from './shared-reads.ts'
export type { FromSqlPage, SqlAsk, SqlColumn, SqlForm, SqlPages, SqlWire, ToSqlPage } from './sql-pages.ts'
export type { ReverseSignIn, SignInQuestion, SignIns, WaitingPasskey, WaitingSignIn } from './sign-ins.ts'
export type {
  BackAsk,
  FileAsk,
  FromPage,
  PageClaim,
  PageGuest,
  PageWire,
  ShellAsk,
  Size,
  Terminals,
  ToPage,
  Transferred,
} from './terminals.ts'
