import { eventually } from '../suite/eventually.ts'
import { jwtFor } from '../processes/ledger.ts'

/** The HTTP surface as a caller sees it, for one account. */

export interface Answer<T = Record<string, unknown>> {
  status: number
  headers: Headers
  body: T
}

export interface Token {
  id: string
  name: string
  status: string
  revision: number
  last_accessed: string | null
}

export interface CreatedToken extends Token {
  token: string
}

export interface Usage {
  total: { requests: number; outcomes: Record<string, number> }
  routes: { method: string; route: string; requests: number }[]
  last_accessed: string | null
}

export interface ResultPage<T> {
  data: T[]
  next_cursor: string | null
}

export interface HistoryRow {
  id: string
  type: string
  revision: number
  data: Record<string, unknown>
}

export type Api = ReturnType<typeof apiOf>

/** Asks again while the answer is 503, as callers do: on a busy machine a store may not answer in time. */
export const untilServed = <T extends { status: number }>(ask: () => Promise<T>): Promise<T> =>
  eventually(async () => {
    const answer = await ask()
    if (answer.status === 503) throw new Error('the service answers 503')
    return answer
  })

const TOKENS = '/settings/api-tokens'

export function apiOf(url: string, account = 'acct_1') {
  const authorization = `Bearer ${jwtFor(account)}`

  async function call<T>(method: string, path: string, init: RequestInit = {}): Promise<Answer<T>> {
    const headers = { authorization, ...(init.headers as Record<string, string>) }
    const answer = await fetch(url + path, { method, ...init, headers })
    const text = await answer.text()
    const isJson = answer.headers.get('content-type')?.includes('json') ?? false
    return { status: answer.status, headers: answer.headers, body: (isJson ? JSON.parse(text) : text) as T }
  }

  const json = (body: object, headers: Record<string, string> = {}): RequestInit => ({
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  })

  return {
    url,
    call,
    create: (body: object, headers?: Record<string, string>) =>
      call<CreatedToken>('POST', TOKENS, json(body, headers)),
    patch: (id: string, body: object) => call<Token>('PATCH', `${TOKENS}/${id}`, json(body)),
    revoke: (id: string) => call('DELETE', `${TOKENS}/${id}`),
    read: (id: string) => call<Token>('GET', `${TOKENS}/${id}`),
    list: (query = '?status=all&limit=100&sort=created_at') => call<ResultPage<Token>>('GET', TOKENS + query),
    events: (id: string) => call<ResultPage<HistoryRow>>('GET', `${TOKENS}/${id}/events?limit=100`),
    usage: (id: string) => call<Usage>('GET', `${TOKENS}/${id}/usage`),
    /** One use of a token. */
    async use(token: string): Promise<number> {
      const answer = await fetch(`${url}/auth/verify`, { headers: { 'x-api-token': token } })
      await answer.arrayBuffer()
      return answer.status
    },
  }
}
