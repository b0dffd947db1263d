import type { FromSchema } from 'json-schema-to-ts'
import { tokenIdOf } from '../src/domain/streams.ts'
import { nullable, string } from './members.ts'
import type { Projection } from './projection.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'tokenId', 'accountId', 'revision', 'hint'],
  properties: {
    // The secret's hash.
    id: string,
    tokenId: string,
    // Null where the token's first event cannot be read, since nothing else says whose it is.
    accountId: nullable,
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
  collections: [{ name: 'rotatedSecrets', schema, indexes: [{ fields: ['tokenId', 'revision'] }] }],
  project(event) {
    if (event.type !== 'TokenRotationStarted') return []
    const { beside, ...newer } = event.data
    const tokenId = tokenIdOf(event.stream)
    const { accountId = null } = event
    return [{ ...newer, revision: event.revision }, beside].map(({ hash: id, hint, revision }) => ({
      kind: 'insert' as const,
      collection: 'rotatedSecrets',
      id,
      fields: { tokenId, accountId, revision, hint },
    }))
  },
}
