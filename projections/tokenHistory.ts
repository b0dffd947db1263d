import type { FromSchema } from 'json-schema-to-ts'
import { tokenIdOf } from '../src/domain/streams.ts'
import { actor as actorSchema, nullable, string } from './members.ts'
import type { Projection, Value } from './projection.ts'
import { LIFE, versionOfLife } from './versionOfLife.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: [
    'id',
    'tokenId',
    'accountId',
    'type',
    'revision',
    'position',
    'at',
    'actor',
    'requestId',
    'data',
  ],
  properties: {
    id: string,
    tokenId: string,
    // Null where the token's first event cannot be read, since nothing else says whose it is.
    accountId: nullable,
    type: string,
    revision: { type: 'integer' },
    // The place of the event in the log, by which feeds are in order.
    position: string,
    at: string,
    actor: actorSchema,
    requestId: string,
    data: { type: 'object' },
  },
} as const

/** One document for each event of a token's life, without what only the service needs (hashes and their key ids). */
export type HistoryDocument = FromSchema<typeof schema>

export const tokenHistory: Projection = {
  name: 'tokenHistory',
  version: versionOfLife(4),
  events: LIFE,
  collections: [
    {
      name: 'tokenHistory',
      schema,
      indexes: [
        { fields: ['tokenId', 'revision'] },
        { fields: ['accountId', 'position'] },
        { fields: ['position'] },
      ],
    },
  ],
  project(event) {
    const { at, actor, requestId } = event.metadata
    const tokenId = tokenIdOf(event.stream)
    const { type, revision, position, accountId = null } = event
    return [
      {
        kind: 'insert',
        collection: 'tokenHistory',
        id: event.id,
        fields: {
          tokenId,
          accountId,
          type,
          revision,
          position,
          at,
          actor,
          requestId,
          data: withoutHashes(event.data),
        },
      },
    ]
  },
}

/** Also without those of the members that name another secret. */
const withoutHashes = (data: object): Record<string, Value> =>
  Object.fromEntries(
    Object.entries(data)
      .filter(([name]) => name !== 'hash' && name !== 'hashKeyId')
      .map(([name, value]) => [
        name,
        name === 'beside' || name === 'remaining' ? withoutHashes(value) : value,
      ]),
  )
