/** What JSON Schemas of requests and answers are made of. */

export const time = { type: 'string', format: 'date-time', example: '2026-11-22T08:00:00.000Z' } as const
export const nullableTime = { ...time, type: ['string', 'null'] } as const
export const count = { type: 'integer', minimum: 0 } as const
export const uuid = { type: 'string', format: 'uuid' } as const

/** An object that has these members and no others. */
export const object = <P extends Record<string, object>>(
  properties: P,
  optional: readonly (keyof P)[] = [],
) => ({
  type: 'object' as const,
  additionalProperties: false as const,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  properties,
})

export const arrayOf = (items: object) => ({ type: 'array', items })

export const limit = { type: 'integer', minimum: 1, maximum: 100, default: 25 } as const
export const nextCursor = { type: ['string', 'null'] }
