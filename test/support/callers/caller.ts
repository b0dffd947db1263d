import { untilServed } from './api.ts'
import { assertDescribed } from './described.ts'

export const TOKENS = '/settings/api-tokens'

interface Tally {
  requests: number
  outcomes: Record<string, number>
}

/** Null in answers about a token with a single secret. */
interface Rotation {
  status: string
  hint: string
  started_at: string
  started_by: { kind: string; id: string }
  activated_at: string
  retires_at: string
}

/** All members of all answers. The service's own description says which of them have to be there. */
export interface Body extends Tally {
  id: string
  account_id: string
  name: string
  hint: string
  scopes: string[]
  description: string | null
  metadata: Record<string, string>
  allowed_ips: string[] | null
  rotatable: boolean
  rotation: Rotation
  created_by: { kind: string; id: string }
  status: string | number
  created_at: string
  updated_at: string
  last_accessed: string | null
  expires_at: string | null
  revoked_at: string | null
  revision: number
  token: string
  data: (Body & { data: Record<string, unknown> })[]
  next_cursor: string | null
  token_id: string | null
  from: string
  to: string
  granularity: string
  filter?: { method: string | null; route: string; other: number }
  total: Tally
  buckets: (Tally & { at: string })[]
  routes: { method: string; route: string; requests: number }[]
  tokens: { token_id: string; name: string; requests: number; last_accessed: string | null }[]
  type: string
  at: string
  actor: { kind: string; id: string }
  kind: string
  code: string
  title: string
  detail: string
  request_id: string
  errors: { pointer: string; message: string }[]
}

export interface Answer {
  status: number
  headers: Headers
  body: Body
  text: string
}

type Fields = Record<string, string>

export interface Api {
  get(path: string, headers?: Fields): Promise<Answer>
  delete(path: string, headers?: Fields): Promise<Answer>
  post(path: string, body?: unknown, headers?: Fields): Promise<Answer>
  patch(path: string, body?: unknown, headers?: Fields): Promise<Answer>
  send(method: string, path: string, request?: { headers?: Fields; body?: unknown }): Promise<Answer>
  /** A caller of the same service with other headers. */
  with(headers: Fields): Api
}

export const bearer = (credential: string): Fields => ({ Authorization: `Bearer ${credential}` })
export const tokenHeader = (token: string): Fields => ({ 'X-API-Token': token })

/**
 * A caller of the service. Each answer is checked against `/openapi.json`. Text and bytes are sent as they are,
 * anything else as JSON.
 * @param isPatient whether it asks again while the answer is 503
 */
export function callerOf(url: string, always: Fields = {}, isPatient = false): Api {
  const send: Api['send'] = (...args) =>
    isPatient ? untilServed(() => sendOnce(...args)) : sendOnce(...args)

  async function sendOnce(
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Fields; body?: unknown } = {},
  ): Promise<Answer> {
    const isRaw = body === undefined || typeof body === 'string' || body instanceof Uint8Array
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...(isRaw ? {} : { 'Content-Type': 'application/json' }), ...always, ...headers },
      body: isRaw ? (body as string | Uint8Array<ArrayBuffer> | undefined) : JSON.stringify(body),
    })
    const text = await response.text()
    const answer = { status: response.status, headers: response.headers, text, body: parse(text) }
    await assertDescribed(url, method, path, answer)
    return answer
  }

  return {
    get: (path, headers = {}) => send('GET', path, { headers }),
    delete: (path, headers = {}) => send('DELETE', path, { headers }),
    post: (path, body, headers = {}) => send('POST', path, { headers, body }),
    patch: (path, body, headers = {}) => send('PATCH', path, { headers, body }),
    send,
    with: (headers) => callerOf(url, { ...always, ...headers }, isPatient),
  }
}

/** Creates a token that a test needs. */
export async function createToken(api: Api, input: object = {}): Promise<Body> {
  const { status, body, text } = await api.post(TOKENS, { name: 'a token', ...input })
  if (status !== 201) throw new Error(`no token was created: ${status} ${text}`)
  return body
}

function parse(text: string): Body {
  try {
    return JSON.parse(text) as Body
  } catch {
    return {} as Body
  }
}
