import { PLAIN_KEY_ID } from './credential.ts'
import {
  allowedIps,
  hash,
  id,
  labels,
  nullableText,
  nullableTime,
  revision,
  scopes,
  seconds,
  text,
  time,
} from './schemaParts.ts'

/** What people write into a token, but for its name and scopes. */
const described = {
  description: nullableText,
  // Names and texts that mean something to the host alone.
  metadata: labels,
  // Addresses and CIDR blocks in canonical form. Null: it may be used from anywhere.
  allowedIps,
  // May the token begin a rotation of itself?
  rotatable: { type: 'boolean' },
} as const

/** The members that name one secret, besides the revision of the event that brought it. */
const secret = { hash, hashKeyId: text, hint: { type: 'string' } } as const

/** The events of a token's life, from its creation to its end. */
export const tokenEventSchemas = {
  TokenCreated: {
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
      'expiresAt',
      'description',
      'metadata',
      'allowedIps',
      'rotatable',
    ],
    properties: {
      tokenId: id,
      accountId: text,
      name: text,
      ...secret,
      scopes,
      expiresAt: nullableTime,
      ...described,
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
      'description',
      'metadata',
      'allowedIps',
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
      description: described.description,
      metadata: described.metadata,
      allowedIps: described.allowedIps,
    },
  },
  TokenUpdated: {
    type: 'object',
    additionalProperties: false,
    minProperties: 1,
    // Each member as it is from now on, `metadata` as well.
    properties: { name: text, scopes, expiresAt: nullableTime, ...described },
  },
  TokenRevoked: {
    type: 'object',
    additionalProperties: false,
    required: ['reason'],
    properties: { reason: { type: ['string', 'null'] } },
  },
  // A secret of the token was found where everybody can read it. Decides nothing: a revocation is an event of its own.
  TokenLeaked: {
    type: 'object',
    additionalProperties: false,
    required: ['source', 'url', 'type', 'hint'],
    properties: {
      // Who has found it, and in what kind of place: `github commit`.
      source: text,
      url: text,
      // What they call such a secret.
      type: text,
      // Of the secret.
      hint: { type: 'string' },
    },
  },
  // The token has another secret from now on, which this event brings.
  TokenRotationStarted: {
    type: 'object',
    additionalProperties: false,
    required: ['hash', 'hashKeyId', 'hint', 'activate', 'graceSeconds', 'beside'],
    properties: {
      ...secret,
      // When the grace of the older secret begins.
      activate: { enum: ['on_first_use', 'now'] },
      // How long the older secret is accepted from then on.
      graceSeconds: seconds,
      // The older secret. Any other secret of the token is dead from now on.
      beside: {
        type: 'object',
        additionalProperties: false,
        required: ['hash', 'hashKeyId', 'hint', 'revision', 'retiresAt'],
        // `retiresAt`: the older secret was retiring already, and its time stays.
        properties: { ...secret, revision, retiresAt: nullableTime },
      },
    },
  },
  // The newer secret was used for the first time. If the rotation was pending, the grace of the older one begins.
  TokenSecretActivated: {
    type: 'object',
    additionalProperties: false,
    required: ['revision', 'hint', 'graceSeconds'],
    properties: {
      // Of the newer secret.
      revision,
      hint: secret.hint,
      // Null: the grace had begun before.
      graceSeconds: { ...seconds, type: ['integer', 'null'] },
    },
  },
  // One of the two secrets is dead from now on: the newer one of a pending rotation, or the older one in its grace.
  TokenRotationEnded: {
    type: 'object',
    additionalProperties: false,
    required: ['status', 'hint', 'remaining'],
    properties: {
      status: { enum: ['pending', 'grace'] },
      // Of the dead one.
      hint: secret.hint,
      remaining: {
        type: 'object',
        additionalProperties: false,
        required: ['hash', 'hashKeyId', 'hint', 'revision'],
        properties: { ...secret, revision },
      },
    },
  },
  // It decides nothing. Of the notices that were due at the same time, only the most urgent was written.
  TokenExpiring: {
    type: 'object',
    additionalProperties: false,
    required: ['days', 'expiresAt'],
    properties: { days: { enum: [30, 7, 1] }, expiresAt: time },
  },
  TokenExpired: {
    type: 'object',
    additionalProperties: false,
    required: ['expiresAt'],
    properties: { expiresAt: time },
  },
} as const

/** Types that decide nothing, so that code which does not know them may pass them over. */
const INFORMATIONAL: readonly string[] = ['TokenLeaked', 'TokenExpiring', 'TokenExpired']

export const isInformationalType = (type: string): boolean => INFORMATIONAL.includes(type)

export type LifecycleType = keyof typeof tokenEventSchemas

/** The types that the streams of tokens hold, and no other stream does. */
export const LIFECYCLE_TYPES = Object.keys(tokenEventSchemas)
export const isLifecycleType = (type: string): boolean => LIFECYCLE_TYPES.includes(type)
