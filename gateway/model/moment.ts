/** Time: moments are milliseconds since the epoch by the wall clock; spans carry their unit in their name. */
import type { Brand } from './brand.ts'

/** Milliseconds since the epoch. */
export type Moment = Brand<number, 'Moment'>

/** The only source of time. Tests bring their own. */
export type Clock = { now(): Moment }

export const wallClock: Clock = { now: () => Date.now() as Moment }

export const after = (moment: Moment, ms: number): Moment => (moment + ms) as Moment

/** For people who may be anywhere: `2026-11-20 19:41 UTC`. */
export const inWords = (moment: Moment): string =>
  `${new Date(moment).toISOString().slice(0, 16).replace('T', ' ')} UTC`

export const minutesToMs = (minutes: number): number => Math.round(minutes * 60_000)
