import type { FromSchema } from 'json-schema-to-ts'
import { tokenIdOf } from '../src/domain/streams.ts'
import { nullable, string } from './members.ts'
import type { Projection } from './projection.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'tokenId', 'accountId', 'at', 'source', 'url', 'type', 'hint'],
  properties: {
    id: string,
    tokenId: string,
    // Null where the token's first event cannot be read, since nothing else says whose it is.
    accountId: nullable,
    at: string,
    source: string,
    url: string,
    type: string,
    hint: string,
  },
} as const

/** One document for each report of a token's secret that was found where everybody can read it. */
export type LeakDocument = FromSchema<typeof schema>

export const leaks: Projection = {
  name: 'leaks',
  version: 1,
  events: ['TokenLeaked'],
  collections: [{ name: 'leaks', schema, indexes: [{ fields: ['accountId', 'at'] }, { fields: ['at'] }] }],
  project(event) {
    if (event.type !== 'TokenLeaked') return []
    const { id, accountId = null, metadata, data } = event
    const { source, url, type, hint } = data
    const fields = {
      tokenId: tokenIdOf(event.stream),
      accountId,
      at: metadata.at,
      source,
      url,
      type,
      hint,
    }
    return [{ kind: 'insert', collection: 'leaks', id, fields }]
  },
}
