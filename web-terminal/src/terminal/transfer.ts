/** One file between this browser and a target: progress, a way to stop, and the gateway's refusals as failures. */
import type { CONFIRMATION_HEADER } from '../../../gateway/portal/schema/passkeys.ts'
import type { FILE_PATH, FILE_SIZE_HEADER, Transferred } from '../../../gateway/portal/schema/terminal.ts'
import type { ApiError, CSRF_HEADER } from '../../../gateway/portal/schema/wire.ts'
import { ApiFailure } from '../api.ts'

const path: typeof FILE_PATH = '/api/v1/terminal/file'
const sizeHeader: typeof FILE_SIZE_HEADER = 'x-sallyport-file-size'
const confirmationHeader: typeof CONFIRMATION_HEADER = 'x-sallyport-passkey'
const csrfHeader: typeof CSRF_HEADER = 'x-sallyport-csrf'
/** Parts that browsers put aside, so that a large file does not stay in the page's memory. */
const PART = 4 * 1024 * 1024

export type Progress = (done: number, all: number | undefined) => void
/** `under`: of the shell that it belongs to. */
type Options = {
  readonly under: string | undefined
  /** For a touch of a passkey. */
  readonly confirmation: string | undefined
  readonly signal: AbortSignal
  readonly progress: Progress
}

const address = (target: string, under: string | undefined, query: Readonly<Record<string, string>>): string =>
  `${path}?${new URLSearchParams({ target, ...(under === undefined ? {} : { under }), ...query }).toString()}`

/** @throws {ApiFailure} `OFFLINE` also when it broke off. */
export async function getFile(
  target: string,
  remote: string,
  { confirmation, progress, signal, under }: Options,
): Promise<{ readonly blob: Blob; readonly name: string }> {
  const response = await fetch(address(target, under, { path: remote }), {
    credentials: 'same-origin',
    headers: confirmation === undefined ? {} : { [confirmationHeader]: confirmation },
    signal,
  })
  if (!response.ok || response.body === null) throw failureOf(response.status, await response.text())
  const size = Number(response.headers.get(sizeHeader) ?? Number.NaN)
  const all = Number.isNaN(size) ? undefined : size
  const blobs: Blob[] = []
  let part: Uint8Array<ArrayBuffer>[] = []
  let held = 0
  let done = 0
  const reader = response.body.getReader()
  for (;;) {
    const { value } = await reader.read()
    if (value === undefined) break
    part.push(value)
    held += value.length
    done += value.length
    if (held >= PART) {
      blobs.push(new Blob(part))
      part = []
      held = 0
    }
    progress(done, all)
  }
  return { blob: new Blob([...blobs, ...part]), name: remote.split('/').at(-1) ?? 'file' }
}

/** XMLHttpRequest, because fetch says nothing of how much has left. @throws {ApiFailure} */
export function putFile(
  target: string,
  remote: string,
  file: File,
  {
    confirmation,
    csrf,
    progress,
    replace,
    signal,
    under,
  }: Options & { readonly csrf: string; readonly replace: boolean },
): Promise<Transferred> {
  return new Promise((resolve, reject) => {
    // It may have been stopped while a passkey was asked for.
    signal.throwIfAborted()
    const call = new XMLHttpRequest()
    call.open('PUT', address(target, under, { path: remote, ...(replace ? { replace: '1' } : {}) }))
    call.setRequestHeader('content-type', 'application/octet-stream')
    call.setRequestHeader(csrfHeader, csrf)
    if (confirmation !== undefined) call.setRequestHeader(confirmationHeader, confirmation)
    call.upload.addEventListener('progress', ({ loaded }) => progress(loaded, file.size))
    call.addEventListener('load', () => {
      if (call.status === 200) resolve(JSON.parse(call.responseText) as Transferred)
      else reject(failureOf(call.status, call.responseText))
    })
    call.addEventListener('error', () => reject(offline()))
    call.addEventListener('abort', () => reject(signal.reason))
    signal.addEventListener('abort', () => call.abort(), { once: true })
    call.send(file)
  })
}

export const offline = (): ApiFailure => new ApiFailure({ code: 'OFFLINE', message: '', next: null, reference: '' })

function failureOf(status: number, text: string): ApiFailure {
  try {
    return new ApiFailure((JSON.parse(text) as ApiError).error)
  } catch {
    return new ApiFailure({ code: `HTTP ${status}`, message: '', next: null, reference: '' })
  }
}

export function save(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
