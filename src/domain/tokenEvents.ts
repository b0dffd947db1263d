import { PLAIN_KEY_ID } from './credential.ts'
import { id, time, nullableTime, text, hash, scopes } from './schemaParts.ts'

/** The events of a token's life, from its creation to its end. */
export const tokenEventSchemas = {
  TokenCreated: {
    type: 'object',
    additionalProperties: false,
    required: ['tokenId', 'accountId', 'name', 'hash', 'hashKeyId', 'hint', 'scopes', 'expiresAt'],
    properties: {
      tokenId: id,
      accountId: text,
      name: text,
      hash,
      hashKeyId: text,
      hint: { type: 'string' },
      scopes,
      expiresAt: nullableTime,
    },
  },
  TokenImported: {
    type: 'object',
    additionalProperties: false,
    required: [
      'tokenId',
      'accountId',
      'name',
      'hash',
      'hashKeyId',
      'hint',
      'scopes',
      'createdAt',
      'updatedAt',
      'lastAccessed',
      'expiresAt',
      'oldId',
    ],
    properties: {
      tokenId: id,
      accountId: text,
      name: text,
      // Plain SHA-256, as the old table has it.
      hash,
      hashKeyId: { const: PLAIN_KEY_ID },
      hint: { type: 'string' },
      scopes,
      createdAt: time,
      updatedAt: time,
      lastAccessed: nullableTime,
      expiresAt: nullableTime,
      // The row's id in the old table. If it was a UUID, the token has the same one.
      oldId: text,
    },
  },
  TokenUpdated: {
    type: 'object',
    additionalProperties: false,
    minProperties: 1,
    properties: { name: text, scopes, expiresAt: nullableTime },
  },
  TokenRevoked: {
    type: 'object',
    additionalProperties: false,
    required: ['reason'],
    properties: { reason: { type: ['string', 'null'] } },
  },
} as const

export type LifecycleType = keyof typeof tokenEventSchemas

/** Is it one of the types that the streams of tokens hold, and no other stream does? */
export const isLifecycleType = (type: string): boolean => Object.hasOwn(tokenEventSchemas, type)
