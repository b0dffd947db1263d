/** Members that documents' schemas have in common. */

export const string = { type: 'string' } as const
export const nullable = { type: ['string', 'null'] } as const
/** A count. */
export const number = { type: 'integer', minimum: 0 } as const
/** Counts by key. */
export const counts = { type: 'object', additionalProperties: number } as const
