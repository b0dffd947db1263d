/** JSON Schemas of what goes in and out. They judge requests, and they are what `/openapi.json` shows. */

const time = { type: 'string', format: 'date-time', example: '2026-11-22T08:00:00.000Z' } as const
const nullableTime = { ...time, type: ['string', 'null'] } as const
const count = { type: 'integer', minimum: 0 } as const
const uuid = { type: 'string', format: 'uuid' } as const

const object = <P extends Record<string, object>>(properties: P, optional: readonly (keyof P)[] = []) => ({
  type: 'object' as const,
  additionalProperties: false as const,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
})

const arrayOf = (items: object) => ({ type: 'array', items })
export const refTo = (name: keyof typeof components) => ({ $ref: `#/components/schemas/${name}` })

// --- Requests ------------------------------------------------------------------------------------------------

const nameInput = { type: 'string', description: '1 to 100 characters after trimming.' }
const expiresAtInput = { ...nullableTime, description: 'In the future; null for never.' }
const scopeItems = { type: 'string', pattern: '^[a-z0-9][a-z0-9:._*-]{0,63}$' }
const scopesInput = {
  type: 'array',
  items: { type: 'string' },
  maxItems: 32,
  description: `Each ${scopeItems.pattern}`,
}

export const createBody = object({ name: nameInput, expires_at: expiresAtInput, scopes: scopesInput }, [
  'expires_at',
  'scopes',
])

export const patchBody = object(
  { name: nameInput, expires_at: expiresAtInput, scopes: { ...scopesInput, type: ['array', 'null'] } },
  ['name', 'expires_at', 'scopes'],
)

const limit = { type: 'integer', minimum: 1, maximum: 100, default: 25 } as const
const cursor = { type: 'string', minLength: 1, description: 'The next_cursor of the page before.' } as const

export const noQuery = object({})
export const readQuery = object(
  { at: { type: 'string', description: 'The token as it was: an RFC 3339 time, or a revision.' } },
  ['at'],
)
export const pageQuery = object({ limit, cursor }, ['limit', 'cursor'])
export const listQuery = object(
  {
    status: { enum: ['live', 'active', 'expired', 'revoked', 'all'], default: 'live' },
    q: { type: 'string', maxLength: 100, description: 'Text in the name, ignoring case.' },
    sort: {
      enum: ['created_at', 'name', 'last_accessed', 'expires_at'].flatMap((field) => [field, `-${field}`]),
      default: '-created_at',
    },
    limit,
    cursor,
  },
  ['status', 'q', 'sort', 'limit', 'cursor'],
)
export const usageQuery = object(
  {
    from: { ...time, description: 'Inclusive; default: 30 days before now.' },
    to: { ...time, description: 'Exclusive; default: now.' },
    granularity: { enum: ['hour', 'day'], default: 'day' },
  },
  ['from', 'to', 'granularity'],
)
export const revokeQuery = object({ reason: { type: 'string', maxLength: 200 } }, ['reason'])

// --- Answers -------------------------------------------------------------------------------------------------

const resource = {
  id: uuid,
  account_id: { type: 'string' },
  name: { type: 'string' },
  hint: {
    type: 'string',
    description: 'Prefix and last four characters of the body; `…` alone for an imported token.',
    example: 'tkl_…9fQz',
  },
  scopes: arrayOf(scopeItems),
  status: { enum: ['active', 'expired', 'revoked'] },
  created_at: time,
  updated_at: time,
  last_accessed: nullableTime,
  expires_at: nullableTime,
  revoked_at: nullableTime,
  revision: { ...count, description: 'Revision of the event stream; the ETag is this in quotes.' },
}
const { last_accessed: _, ...resourceThen } = resource
const tally = {
  requests: count,
  outcomes: { type: 'object', additionalProperties: count, description: 'Requests by class of status.' },
}
const nextCursor = { type: ['string', 'null'] }
const usage = {
  from: time,
  to: time,
  granularity: { enum: ['hour', 'day'] },
  total: object(tally),
  last_accessed: nullableTime,
  buckets: arrayOf(object({ at: time, ...tally })),
  routes: arrayOf(object({ method: { type: 'string' }, route: { type: 'string' }, requests: count })),
}

export const components = {
  Token: object(resource),
  TokenAt: object({
    ...resourceThen,
    at: { ...time, description: 'The time asked for, or that of the revision; `status` is by its clock.' },
  }),
  CreatedToken: object({
    ...resource,
    token: { type: 'string', description: 'The credential. Shown here and never again.' },
  }),
  TokenPage: object({ data: arrayOf({ $ref: '#/components/schemas/Token' }), next_cursor: nextCursor }),
  TokenUsage: object({ token_id: uuid, ...usage }),
  AccountUsage: object({
    ...usage,
    tokens: arrayOf(
      object({ token_id: uuid, name: { type: 'string' }, requests: count, last_accessed: nullableTime }),
    ),
  }),
  HistoryPage: object({
    data: arrayOf(
      object({
        id: uuid,
        type: { type: 'string' },
        revision: count,
        at: time,
        actor: object({ kind: { enum: ['jwt', 'token', 'system'] }, id: { type: 'string' } }),
        request_id: { type: 'string' },
        data: { type: 'object' },
      }),
    ),
    next_cursor: nextCursor,
  }),
  Principal: object({
    kind: { enum: ['token', 'jwt'] },
    account_id: { type: 'string' },
    token_id: { type: ['string', 'null'] },
    scopes: arrayOf({ type: 'string' }),
  }),
  Liveness: object({ status: { const: 'ok' } }),
  Readiness: object({
    status: { enum: ['ready', 'not_ready'] },
    checks: object({
      event_store: { enum: ['ok', 'unreachable'] },
      read_model: { enum: ['ok', 'unreachable'] },
      projector: object({ lag_seconds: { type: 'number', minimum: 0 } }),
      service: { enum: ['running', 'stopping'] },
    }),
  }),
  Problem: object(
    {
      type: { type: 'string' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      code: { type: 'string' },
      request_id: { type: 'string' },
      errors: arrayOf(object({ pointer: { type: 'string' }, message: { type: 'string' } })),
    },
    ['errors'],
  ),
}
