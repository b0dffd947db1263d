import { tokenIdOf } from '../src/domain/events.ts'
import type { Projection } from './projection.ts'

/** One row for each event of a token's life, without what only the service needs (the hash and its key id). */
export interface HistoryDocument {
  id: string
  tokenId: string
  type: string
  revision: number
  at: string
  actor: { kind: string; id: string }
  requestId: string
  data: Record<string, unknown>
}

export const tokenHistory: Projection = {
  name: 'tokenHistory',
  version: 1,
  events: ['TokenCreated', 'TokenUpdated', 'TokenRevoked'],
  collections: [{ name: 'tokenHistory', indexes: [{ fields: ['tokenId', 'revision'] }] }],
  project(event) {
    const { at, actor, requestId } = event.metadata
    const { hash: _, hashKeyId: __, ...data } = event.data as Record<string, unknown>
    const tokenId = tokenIdOf(event.stream)
    const { type, revision } = event
    return [
      {
        kind: 'insert',
        collection: 'tokenHistory',
        id: event.id,
        fields: { tokenId, type, revision, at, actor, requestId, data },
      },
    ]
  },
}
