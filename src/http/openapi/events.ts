import { arrayOf, count, limit, nextCursor, object, time, uuid } from './parts.ts'

/** Schemas of what happened to tokens: histories and feeds. */

export const feedQuery = object(
  {
    after: {
      type: 'string',
      pattern: '^\\d{1,20}(-\\d{1,20})?$',
      description: 'The `next` of the page before. Default: all there is.',
    },
    types: {
      type: 'string',
      pattern: '^[A-Za-z]+(,[A-Za-z]+)*$',
      description: 'Only events of these types, separated by commas. Default: all.',
      example: 'TokenCreated,TokenRevoked',
    },
    limit: { ...limit, description: 'Of a page.' },
  },
  ['after', 'types', 'limit'],
)

const actorKind = { enum: ['jwt', 'user', 'token', 'operator', 'client', 'code', 'system'] }
const event = {
  id: uuid,
  type: { type: 'string' },
  revision: count,
  at: time,
  actor: object({ kind: actorKind, id: { type: 'string' } }),
  request_id: { type: 'string' },
  data: { type: 'object' },
}

export const retiredSecretUses = {
  ...object({ requests: count, last_at: time }),
  description: 'Refused requests with secrets that had retired. Only where there are any.',
}

export const historyPage = object(
  { data: arrayOf(object(event)), next_cursor: nextCursor, retired_secret_uses: retiredSecretUses },
  ['retired_secret_uses'],
)

export const feedPage = object({
  data: arrayOf(object({ ...event, token_id: uuid, account_id: { type: 'string' } })),
  next: {
    type: 'string',
    description: 'The `after` of the next page. It stays the same at the end, until something happens.',
  },
})

/** Server-sent events: what is behind `data:` is an event as a page has it, what is behind `id:` its position. */
export const eventStream = {
  type: 'string',
  example: 'id: 0000000000000042\ndata: {"type":"TokenCreated"}\n\n',
}
