/** Parts of the schemas of events. Times are RFC 3339 UTC with milliseconds, ids are UUIDs. */

export const id = { type: 'string', minLength: 36, maxLength: 36 } as const
export const time = { type: 'string', format: 'date-time' } as const
export const nullableTime = { type: ['string', 'null'], format: 'date-time' } as const
export const count = { type: 'integer', minimum: 1 } as const
export const text = { type: 'string', minLength: 1 } as const
export const hash = { type: 'string', pattern: '^[0-9a-f]{64}$' } as const
export const nullableText = { type: ['string', 'null'] } as const
export const counts = { type: 'object', additionalProperties: count } as const
export const scopes = { type: 'array', items: { type: 'string' }, maxItems: 32 } as const
/** The revision of an event in its stream. */
export const revision = { type: 'integer', minimum: 0 } as const
export const seconds = { type: 'integer', minimum: 0 } as const
/** Texts by name. */
export const labels = { type: 'object', additionalProperties: { type: 'string' } } as const
export const allowedIps = { type: ['array', 'null'], items: { type: 'string' } } as const
export const accountId = { type: 'string', minLength: 1 } as const
/** A UTC day, `2026-11-22`. */
export const day = { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}$' } as const
export const outcomes = { type: 'object', additionalProperties: count } as const
export const routes = {
  type: 'array',
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['method', 'route', 'count'],
    properties: { method: { type: 'string' }, route: { type: 'string' }, count },
  },
} as const
