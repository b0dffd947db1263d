/** What the page asks its server: `<prefix>/api/…`, by which the same handlers answer as for the API. */

const API = new URL('api/', import.meta.url)

export interface Problem {
  status: number
  code: string
  detail: string
  errors: { pointer: string }[]
}

/** The server has refused, or cannot be reached (`unreachable`). */
export class ApiError extends Error {
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail)
    this.problem = problem
  }
}

export interface Answer<T> {
  status: number
  body: T
  etag: string | null
}

export interface Asked {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  query?: Record<string, string | number | boolean | null | undefined>
  body?: object
  ifMatch?: string | null
  /** May be sent again when the answer was lost: it takes effect once. */
  idempotencyKey?: string
  /** As GET: doing it twice is the same as doing it once. */
  isRepeatable?: boolean
}

const PAUSES_MS = [400, 1_200, 3_000]

let onRetry: (isRetrying: boolean) => void = () => {}
let onSessionOver: () => void = () => {}
let onOtherAccount: () => void = () => {}
/** The account that is shown. The server refuses what another tab's account would be changed by. */
let account: string | null = null

export function listen(
  retrying: typeof onRetry,
  sessionOver: typeof onSessionOver,
  otherAccount: typeof onOtherAccount,
): void {
  onRetry = retrying
  onSessionOver = sessionOver
  onOtherAccount = otherAccount
}

export function askFor(accountId: string | null): void {
  account = accountId
}

/**
 * Asks, and asks again while the server is away, where that can do no harm.
 * @throws ApiError
 */
export async function ask<T>(path: string, asked: Asked = {}): Promise<Answer<T>> {
  const { method = 'GET', idempotencyKey, isRepeatable = method === 'GET' } = asked
  const isSafe = isRepeatable || idempotencyKey !== undefined
  for (let tries = 0; ; tries++) {
    try {
      const answer = await askOnce<T>(path, asked)
      if (tries > 0) onRetry(false)
      return answer
    } catch (error) {
      const pause = PAUSES_MS[tries]
      const isAway = error instanceof ApiError && [0, 502, 503, 504].includes(error.problem.status)
      if (!isAway || !isSafe || pause === undefined) {
        if (tries > 0) onRetry(false)
        throw error
      }
      onRetry(true)
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}

async function askOnce<T>(path: string, asked: Asked): Promise<Answer<T>> {
  const { method = 'GET', query = {}, body, ifMatch, idempotencyKey } = asked
  const url = new URL(path, API)
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, String(value))
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (body) headers['Content-Type'] = 'application/json'
  if (ifMatch) headers['If-Match'] = ifMatch
  if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey
  if (account !== null) headers['Page-Account'] = encodeURIComponent(account)
  const sent = { method, headers, cache: 'no-store' as const, credentials: 'same-origin' as const }
  const answer = await fetch(url, body ? { ...sent, body: JSON.stringify(body) } : sent).catch(() => null)
  if (!answer) throw new ApiError({ status: 0, code: 'unreachable', detail: '', errors: [] })
  const text = await answer.text().catch(() => '')
  const json = parsed(text)
  if (answer.ok) return { status: answer.status, body: json as T, etag: answer.headers.get('ETag') }
  const { code = '', detail = '', errors = [] } = (json ?? {}) as Partial<Problem>
  if (answer.status === 401 && path !== 'session') onSessionOver()
  if (code === 'other_account' && path !== 'session') onOtherAccount()
  throw new ApiError({ status: answer.status, code, detail, errors })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Where a token is asked for. Operators see those of all accounts elsewhere. */
export const tokenPath = (id: string, isOperator: boolean, rest = ''): string =>
  `${isOperator ? 'admin/api-tokens' : 'tokens'}/${encodeURIComponent(id)}${rest}`

export const problemOf = (error: unknown): Problem =>
  error instanceof ApiError ? error.problem : { status: -1, code: 'page', detail: String(error), errors: [] }
