/** Which workspace a login asks for, as its certificate says it. What is not understood to the last word is refused. */

export type WorkspaceWish = {
  readonly mode: 'read-only' | 'overlay'
  readonly network: 'none' | 'host'
  readonly memoryMegabytes: number
  readonly tasks: number
  readonly cpus: number
  /** What may be written in all, in memory: changes of an overlay, and temporary files. */
  readonly changesMegabytes: number
  /** Changes of an overlay stay here for so long, for a second person. 0: they are thrown away. */
  readonly keepMinutes: number
}

const LIMITS: Readonly<Record<string, readonly [least: number, most: number]>> = {
  memoryMegabytes: [16, 1_048_576],
  tasks: [4, 65_536],
  cpus: [0.05, 1024],
  changesMegabytes: [1, 65_536],
  keepMinutes: [0, 30 * 24 * 60],
}

/** @throws {Error} for anything odd. */
export function readWish(text: string): WorkspaceWish {
  const said: unknown = JSON.parse(text)
  if (typeof said !== 'object' || said === null) throw new Error('not a workspace')
  const { mode, network, ...numbers } = said as Readonly<Record<string, unknown>>
  if (mode !== 'read-only' && mode !== 'overlay') throw new Error('not a workspace')
  if (network !== 'none' && network !== 'host') throw new Error('not a workspace')
  if (Object.keys(numbers).length !== Object.keys(LIMITS).length) throw new Error('not a workspace')
  const number = (name: string): number => {
    const value = numbers[name]
    const [least, most] = LIMITS[name] ?? [0, 0]
    if (typeof value !== 'number' || !(value >= least && value <= most)) throw new Error(`not a number: ${name}`)
    return value
  }
  return {
    mode,
    network,
    memoryMegabytes: number('memoryMegabytes'),
    tasks: number('tasks'),
    cpus: number('cpus'),
    changesMegabytes: number('changesMegabytes'),
    keepMinutes: number('keepMinutes'),
  }
}
