/** One name in a directory of the host, held open from the root down without following a link: whoever exchanges a directory meanwhile changes nothing of ours. */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

export class Place implements AsyncDisposable {
  readonly #directory: FileHandle
  readonly #name: Buffer

  private constructor(directory: FileHandle, name: Buffer) {
    this.#directory = directory
    this.#name = name
  }

  /** @param path absolute, as a walk made it: no `.`, no `..`, nothing empty. @throws {Error} when a directory on the way is none, or a link. */
  static async at(path: Buffer): Promise<Place> {
    const names = split(path)
    const name = names.pop()
    if (name === undefined) throw new Error('The root itself is no place.')
    let directory = await open('/', DIRECTORY)
    for (const one of names) {
      const above = directory
      try {
        directory = await open(within(above, one), DIRECTORY)
      } finally {
        await above.close()
      }
    }
    return new Place(directory, name)
  }

  /** The name itself, through the directory that is held. */
  get path(): Buffer {
    return within(this.#directory, this.#name)
  }

  /** Another name beside it. */
  beside(name: string): Buffer {
    return within(this.#directory, Buffer.from(name))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory.close()
  }
}

const within = ({ fd }: FileHandle, name: Buffer): Buffer => Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), name])

function split(path: Buffer): Buffer[] {
  const names = path.toString('latin1').split('/')
  const [first, ...rest] = names
  if (first !== '' || rest.some((name) => name === '' || name === '.' || name === '..' || name.includes('\0')))
    throw new Error('This is no path of a walk.')
  return rest.map((name) => Buffer.from(name, 'latin1'))
}
