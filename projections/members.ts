/** Members that the schemas of documents have in common. */

export const string = { type: 'string' } as const
export const nullable = { type: ['string', 'null'] } as const
export const number = { type: 'integer', minimum: 0 } as const
export const counts = { type: 'object', additionalProperties: number } as const
/** Who did something, as the metadata of events have it. */
export const actor = {
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'id'],
  properties: { kind: string, id: string },
} as const
