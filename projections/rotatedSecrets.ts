import type { FromSchema } from 'json-schema-to-ts'
import { tokenIdOf } from '../src/domain/streams.ts'
import { string } from './members.ts'
import type { Projection } from './projection.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'tokenId', 'revision', 'hint'],
  properties: {
    // The secret's hash.
    id: string,
    tokenId: string,
    // The revision of the event that brought the secret.
    revision: { type: 'integer' },
    hint: string,
  },
} as const

/**
 * Every secret that a token has, or ever had, if it was rotated: so a secret that has died can be told from one that
 * never was. A token that was not rotated is found by its only secret in `tokens`.
 */
export type RotatedSecretDocument = FromSchema<typeof schema>

export const rotatedSecrets: Projection = {
  name: 'rotatedSecrets',
  version: 1,
  events: ['TokenRotationStarted'],
  // Documents are found by their ids.
  collections: [{ name: 'rotatedSecrets', schema, indexes: [] }],
  project(event) {
    if (event.type !== 'TokenRotationStarted') return []
    const { beside, ...newer } = event.data
    const tokenId = tokenIdOf(event.stream)
    return [{ ...newer, revision: event.revision }, beside].map(({ hash: id, hint, revision }) => ({
      kind: 'insert' as const,
      collection: 'rotatedSecrets',
      id,
      fields: { tokenId, revision, hint },
    }))
  },
}
