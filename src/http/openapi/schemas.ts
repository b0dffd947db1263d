import { feedPage, historyPage, retiredSecretUses } from './events.ts'
import { metadata, scopeItems } from './inputs.ts'
import { arrayOf, count, nextCursor, nullableTime, object, time, uuid } from './parts.ts'

export * from './requests.ts'

/** JSON Schemas of answers, which `/openapi.json` shows, and through this module those of requests. */

export const refTo = (name: keyof typeof components) => ({ $ref: `#/components/schemas/${name}` })

export const status = { enum: ['active', 'expired', 'revoked', 'damaged'] } as const

/** Who did something. */
const actor = object({ kind: { type: 'string' }, id: { type: 'string' } })

const resource = {
  id: uuid,
  account_id: { type: 'string' },
  name: { type: 'string' },
  description: { type: ['string', 'null'] },
  metadata,
  hint: {
    type: 'string',
    description: 'Prefix and last four characters of the body; `…` alone for an imported token.',
    example: 'tkl_…9fQz',
  },
  scopes: arrayOf(scopeItems),
  allowed_ips: { ...arrayOf({ type: 'string' }), type: ['array', 'null'] },
  rotatable: { type: 'boolean' },
  rotation: {
    ...object({
      status: {
        enum: ['pending', 'grace'],
        description:
          '`pending`: the newer secret was not used yet. `grace`: the older one is accepted until `retires_at`.',
      },
      hint: {
        type: 'string',
        description:
          'Of the secret that is not that of the `hint` above: the newer one while pending, the older one in the grace.',
      },
      started_at: time,
      started_by: actor,
      activated_at: nullableTime,
      retires_at: nullableTime,
    }),
    type: ['object', 'null'],
    description: 'Null: only one secret is accepted.',
  },
  status: {
    ...status,
    description:
      'A damaged token authenticates nobody: what is shown is what was known of it, without scopes and expiry.',
  },
  created_by: actor,
  created_at: time,
  updated_at: time,
  last_accessed: nullableTime,
  expires_at: nullableTime,
  revoked_at: nullableTime,
  revision: { ...count, description: 'Revision of the event stream; the ETag is this in quotes.' },
}
const { last_accessed: _, ...rest } = resource
const resourceThen = { ...rest, status: { enum: ['active', 'expired', 'revoked'] } }
const tally = {
  requests: count,
  outcomes: { type: 'object', additionalProperties: count, description: 'Requests by outcome.' },
}
const tallyOfRoute = {
  requests: count,
  outcomes: {
    ...tally.outcomes,
    type: ['object', 'null'],
    description: 'Null with a `route`: not kept by it.',
  },
}
const usage = {
  from: time,
  to: time,
  granularity: { enum: ['hour', 'day'] },
  filter: object({
    method: { type: ['string', 'null'] },
    route: { type: 'string' },
    other: { ...count, description: 'Requests on routes not kept by name: some may be on this one.' },
  }),
  total: object(tallyOfRoute),
  last_accessed: nullableTime,
  buckets: arrayOf(object({ at: time, ...tallyOfRoute })),
  routes: {
    ...arrayOf(object({ method: { type: 'string' }, route: { type: 'string' }, requests: count })),
    description: 'The 1,000 most used by name, all others as route `other` of method `*`.',
  },
}

const reportRow = {
  token_id: uuid,
  account_id: { type: 'string' },
  name: { type: 'string' },
  status: { enum: ['active', 'expired', 'revoked'] },
  requests: count,
  created_at: time,
  last_accessed: nullableTime,
  expires_at: nullableTime,
}
/** `total` counts all rows that there are, `data` shows the first of them. */
const reportList = { total: count, data: arrayOf(object(reportRow, ['requests'])) }

const text = { type: 'string' }
/** What was said of a leak. */
const leakPlace = { source: text, url: text, type: text, hint: text }

const seen = { requests: count, first_hour: time, last_hour: time }
const nullableText = { type: ['string', 'null'] }
const others = {
  other: { ...count, description: 'Requests of those that are not told apart.' },
  other_first_hour: { ...nullableTime, description: 'The first hour with one of those.' },
  other_last_hour: nullableTime,
}
const seenRoutes = object({
  data: arrayOf(object({ method: { type: 'string' }, route: { type: 'string' }, ...seen, ...tally })),
  ...others,
})

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
  TokenPage: object(
    {
      data: arrayOf(
        object(
          {
            ...resource,
            daily: {
              ...arrayOf(count),
              maxItems: 30,
              description: 'With `daily`: the requests on each day (UTC), oldest first; today is the last.',
            },
          },
          ['daily'],
        ),
      ),
      next_cursor: nextCursor,
      counts: {
        ...object({ live: count, expiring: count, never_expires: count, unused: count }),
        description:
          'With `counts`, of all tokens that are not revoked: those that expire within 14 days, that never expire, and that were not used for 90 days.',
      },
    },
    ['counts'],
  ),
  TokenUsage: object(
    {
      token_id: uuid,
      ...usage,
      secrets: {
        type: ['array', 'null'],
        items: object({ hint: nullableText, requests: count, last_accessed: nullableTime }),
        maxItems: 100,
        description: 'Those that are accepted, or were used in the range, newest first. Null with a filter.',
      },
      retired_secret_uses: retiredSecretUses,
    },
    ['filter', 'retired_secret_uses'],
  ),
  AccountUsage: object(
    {
      ...usage,
      tokens: {
        ...arrayOf(
          object({ token_id: uuid, name: { type: 'string' }, requests: count, last_accessed: nullableTime }),
        ),
        maxItems: 1_000,
        description: 'Most used first: those used in the range, then active ones.',
      },
      more_tokens: { const: true, description: 'Only where there are more tokens than are shown.' },
    },
    ['filter', 'more_tokens'],
  ),
  Report: object({
    at: time,
    account_id: { type: ['string', 'null'] },
    tokens: object({ active: count, expired: count, revoked: count, damaged: count }),
    top: object({ from: time, to: time, ...reportList }),
    never_used: object(reportList),
    idle: object({ days: count, ...reportList }),
    expiring: object({ days: count, ...reportList }),
    without_expiry: object(reportList),
    retired_secret_uses: object(reportList),
    leaked: object({
      total: count,
      data: arrayOf(
        object({
          ...reportRow,
          requests: { ...count, description: 'Since the hour in which the leak was reported.' },
          leak: object({ at: time, ...leakPlace }),
        }),
      ),
    }),
  }),
  BlastRadius: object({
    token_id: uuid,
    account_id: { type: 'string' },
    name: { type: 'string' },
    status,
    since: time,
    to: time,
    first_at: nullableTime,
    last_at: nullableTime,
    total: object(tally),
    addresses: object({ data: arrayOf(object({ ip: nullableText, ...seen })), ...others }),
    user_agents: object({ data: arrayOf(object({ user_agent: nullableText, ...seen })), ...others }),
    routes: seenRoutes,
    management: object({
      requests: seenRoutes,
      events: object({
        total: count,
        data: arrayOf(
          object({
            id: uuid,
            type: { type: 'string' },
            at: time,
            token_id: uuid,
            revision: count,
            request_id: { type: 'string' },
            ip: nullableText,
            user_agent: nullableText,
          }),
        ),
      }),
    }),
    hours: arrayOf(object({ at: time, ...tally, addresses: count, user_agents: count })),
    earlier: object({ hours: count, requests: count }),
  }),
  AllowedIpsCheck: object(
    {
      refused: {
        ...arrayOf(object({ ip: { type: 'string' }, requests: count, last_at: time })),
        maxItems: 1_000,
        description: 'Callers that would be refused, most requests first. `last_at` is exact to the hour.',
      },
      more_refused: {
        ...object({ callers: count, requests: count }),
        description: 'Only where more callers would be refused than are shown.',
      },
      accepted: { ...count, description: 'Requests that would have been accepted.' },
      unknown: {
        ...count,
        description:
          'Requests without an address, which would be refused, or from one that was not kept by name.',
      },
    },
    ['more_refused'],
  ),
  HistoryPage: historyPage,
  FeedPage: feedPage,
  Principal: object({
    kind: { enum: ['token', 'jwt'] },
    account_id: { type: 'string' },
    token_id: { type: ['string', 'null'] },
    scopes: arrayOf({ type: 'string' }),
  }),
  Liveness: object({ status: { const: 'ok' } }),
  Readiness: object({
    status: { enum: ['ready', 'not_ready'] },
    reason: { type: ['string', 'null'] },
    checks: object({
      event_store: { enum: ['ok', 'not_writable', 'unreachable', 'misconfigured', 'replaced', 'taken'] },
      read_model: { enum: ['ok', 'not_writable', 'unreachable', 'misconfigured', 'lost', 'behind'] },
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
