/** Speaks to the gateway: one call at a time, refusals as a typed failure, the gateway's own clock. */
import type {
  API_BASE,
  ApiError,
  BACKGROUND_HEADER,
  CSRF_HEADER,
  SIGN_IN_PATH,
} from '../../gateway/portal/schema/wire.ts'

const base: typeof API_BASE = '/api/v1'
const csrfHeader: typeof CSRF_HEADER = 'x-sallyport-csrf'
const backgroundHeader: typeof BACKGROUND_HEADER = 'x-sallyport-background'
const signInPath: typeof SIGN_IN_PATH = '/sign-in'

/** The answer was no, or there was none (`code` is `OFFLINE`). */
export class ApiFailure extends Error {
  readonly code: string
  readonly next: string | null
  readonly reference: string
  constructor(error: ApiError['error']) {
    super(error.message)
    this.code = error.code
    this.next = error.next
    this.reference = error.reference
  }
}

export const apiUrl = (path: string): string => base + path

/** Where a person goes who has to sign in first, and comes back from. */
export const signInUrl = (options: { readonly fresh?: boolean } = {}): string =>
  `${signInPath}?${options.fresh === true ? 'fresh=1&' : ''}returnTo=${encodeURIComponent(location.pathname + location.search)}`

export type Api = {
  /** `isBackground`: nobody asked for it just now, so it keeps nobody signed in. */
  get<T>(path: string, isBackground?: boolean): Promise<T>
  post<T>(path: string, body?: unknown): Promise<T>
  remove<T>(path: string): Promise<T>
  /** Lets unsafe calls through; from `GET /me`. */
  trust(csrfToken: string): void
  /** For calls that are no JSON: a WebSocket, a file. */
  csrf(): string
  /** By the gateway's clock, as far as its answers told. */
  now(): number
}

export function createApi(): Api {
  let token = ''
  let skew = 0
  const call = async <T>(method: string, path: string, body: unknown, isBackground: boolean): Promise<T> => {
    const headers: Record<string, string> = { accept: 'application/json' }
    if (isBackground) headers[backgroundHeader] = '1'
    if (method !== 'GET') headers[csrfHeader] = token
    if (body !== undefined) headers['content-type'] = 'application/json'
    const init: RequestInit = { method, headers, credentials: 'same-origin' }
    if (body !== undefined) init.body = JSON.stringify(body)
    let response: Response
    try {
      response = await fetch(base + path, init)
    } catch {
      throw new ApiFailure({ code: 'OFFLINE', message: '', next: null, reference: '' })
    }
    const sent = Date.parse(response.headers.get('date') ?? '')
    // The header counts whole seconds: smaller differences say nothing.
    if (!Number.isNaN(sent)) skew = Math.abs(sent - Date.now()) > 2000 ? sent - Date.now() : 0
    const answer: unknown = await response.json().catch(() => undefined)
    if (response.ok && answer !== undefined) return answer as T
    if (isApiError(answer)) throw new ApiFailure(answer.error)
    throw new ApiFailure({ code: `HTTP ${response.status}`, message: '', next: null, reference: '' })
  }
  return {
    get: (path, isBackground = false) => call('GET', path, undefined, isBackground),
    post: (path, body) => call('POST', path, body, false),
    remove: (path) => call('DELETE', path, undefined, false),
    trust: (csrfToken) => {
      token = csrfToken
    },
    csrf: () => token,
    now: () => Date.now() + skew,
  }
}

function isApiError(answer: unknown): answer is ApiError {
  if (typeof answer !== 'object' || answer === null || !('error' in answer)) return false
  const { error } = answer
  return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string'
}
