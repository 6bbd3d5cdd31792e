/** The built browser application in memory: names are looked up among the files that were found, so no path can lead elsewhere. */
import { hash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import { promisify } from 'node:util'
import { gzip as gzipWithCallback } from 'node:zlib'

const gzip = promisify(gzipWithCallback)

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
}
const ALREADY_SMALL = new Set(['.png', '.woff2', '.ico'])

export type Asset = {
  readonly type: string
  readonly etag: string
  readonly bytes: Buffer
  /** Undefined where it would not be smaller. */
  readonly gzip: Buffer | undefined
}

export type Application = {
  /** The page, with `__NONCE__` where the nonce belongs. */
  readonly page: string
  /** By URL path: `/assets/main-1a2b.js`. */
  readonly files: ReadonlyMap<string, Asset>
}

/** Reads the folder again when its page has changed: a new build needs no restart. */
export class Assets {
  readonly #folder: string
  #read: { readonly changed: number; readonly application: Promise<Application> } | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Undefined when nothing has been built. */
  async application(): Promise<Application | undefined> {
    const page = await stat(join(this.#folder, 'index.html')).catch(() => undefined)
    if (page === undefined) return undefined
    if (this.#read?.changed !== page.mtimeMs) {
      const application = readApplication(this.#folder)
      this.#read = { changed: page.mtimeMs, application }
      // Half a build is read again at the next call.
      application.catch(() => {
        this.#read = undefined
      })
    }
    return await this.#read.application
  }
}

async function readApplication(folder: string): Promise<Application> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = new Map<string, Asset>()
  for (const entry of entries) {
    const type = TYPES[extname(entry.name)]
    if (!entry.isFile() || type === undefined || entry.name === 'index.html') continue
    const path = join(entry.parentPath, entry.name)
    files.set(`/${relative(folder, path).split(sep).join('/')}`, await readAsset(path, type))
  }
  return { page: await readFile(join(folder, 'index.html'), 'utf8'), files }
}

async function readAsset(path: string, type: string): Promise<Asset> {
  const bytes = await readFile(path)
  const small = ALREADY_SMALL.has(extname(path)) ? undefined : await gzip(bytes)
  return {
    type,
    etag: hash('sha256', bytes, 'base64url').slice(0, 22),
    bytes,
    gzip: small !== undefined && small.length < bytes.length ? small : undefined,
  }
}
