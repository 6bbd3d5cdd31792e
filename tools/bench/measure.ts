/** Small measures that every bench takes: medians, CPU and memory of other processes, teardown. */
import { readFileSync } from 'node:fs'

export const median = (values: readonly number[]): number => percentile(values, 0.5)

export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN
}

export const round = (value: number, digits = 2): number => Number(value.toFixed(digits))

/** Seconds of CPU that a process used so far, with its children that have ended. */
export function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
    return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0) / 100
  } catch {
    return 0
  }
}

export function residentKilobytes(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

export type Teardown = { teardown(fn: () => unknown): void }

/** Things to undo at the end, last first. */
export function teardowns(): Teardown & { end(): Promise<void> } {
  const all: (() => unknown)[] = []
  return {
    teardown: (fn) => void all.unshift(fn),
    end: async () => {
      for (const fn of all.splice(0)) await fn()
    },
  }
}

export const pause = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms))
