import type { FromSchema } from 'json-schema-to-ts'
import { PLAIN_KEY_ID } from './credential.ts'

/**
 * The facts. One schema per event type is the source of both the TypeScript type and the run-time check.
 * Times are RFC 3339 UTC with milliseconds, ids are UUIDs, `revision` counts from 0.
 */

const id = { type: 'string', minLength: 36, maxLength: 36 } as const
const time = { type: 'string', format: 'date-time' } as const
const nullableTime = { type: ['string', 'null'], format: 'date-time' } as const
const count = { type: 'integer', minimum: 1 } as const
const text = { type: 'string', minLength: 1 } as const
const hash = { type: 'string', pattern: '^[0-9a-f]{64}$' } as const
const nullableText = { type: ['string', 'null'] } as const
const counts = { type: 'object', additionalProperties: count } as const
const scopes = { type: 'array', items: { type: 'string' }, maxItems: 32 } as const
const accountId = { type: 'string', minLength: 1 } as const
/** A UTC day, `2026-11-22`. */
const day = { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}$' } as const
const outcomes = { type: 'object', additionalProperties: count } as const
const routes = {
  type: 'array',
  items: {
    type: 'object',
    additionalProperties: false,
    required: ['method', 'route', 'count'],
    properties: { method: { type: 'string' }, route: { type: 'string' }, count },
  },
} as const

export const eventSchemas = {
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
      // The row's id in the old table: the token's too if it was a UUID.
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
  /**
   * One token's uses in one window of one process. Members that only say again what others do are left out: without
   * `addresses` all uses came from `lastIp`, without `userAgents` by `lastUserAgent`, and without `outcomes` of a route
   * they are the window's, where that has a single one. `otherAddresses` and `otherUserAgents` count uses whose caller
   * is not told apart.
   */
  TokenUsed: {
    type: 'object',
    additionalProperties: false,
    required: [
      'tokenId',
      'accountId',
      'count',
      'firstAt',
      'lastAt',
      'outcomes',
      'routes',
      'tokenRevision',
      'lastIp',
      'lastUserAgent',
    ],
    properties: {
      tokenId: id,
      accountId: text,
      count,
      firstAt: time,
      lastAt: time,
      outcomes: counts,
      routes: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['method', 'route', 'count'],
          properties: { method: { type: 'string' }, route: { type: 'string' }, count, outcomes: counts },
        },
      },
      tokenRevision: { type: 'integer', minimum: 0 },
      lastIp: nullableText,
      lastUserAgent: nullableText,
      addresses: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['ip', 'count'],
          properties: { ip: nullableText, count },
        },
      },
      otherAddresses: count,
      userAgents: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['userAgent', 'count'],
          properties: { userAgent: nullableText, count },
        },
      },
      otherUserAgents: count,
    },
  },
  UsageLost: {
    type: 'object',
    additionalProperties: false,
    required: ['count', 'from', 'to', 'cause'],
    properties: { count, from: time, to: time, cause: { type: 'string' } },
  },
  // What a token's uses of one UTC day add up to: not what was added, so that it holds whether or not the events it
  // was made from are still there. The hours and the day, in several events where they are too large for one.
  UsageRolledUp: {
    type: 'object',
    additionalProperties: false,
    required: ['tokenId', 'accountId', 'day', 'buckets'],
    properties: {
      tokenId: id,
      accountId,
      day,
      buckets: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['granularity', 'at', 'count', 'firstAt', 'lastAt', 'outcomes', 'routes'],
          properties: {
            granularity: { enum: ['hour', 'day'] },
            // Start of the bucket.
            at: time,
            count,
            firstAt: time,
            lastAt: time,
            outcomes,
            routes,
          },
        },
      },
    },
  },
  // One import of an old table's rows at a time: whoever writes these is at work, until the last one says that it is not.
  ImportAdvanced: {
    type: 'object',
    additionalProperties: false,
    required: ['importId', 'rows', 'read', 'ended'],
    properties: {
      importId: id,
      // Of the file, and how many of them are in the store for certain.
      rows: { type: 'integer', minimum: 0 },
      read: { type: 'integer', minimum: 0 },
      ended: { type: 'boolean' },
    },
  },
  // Ends the roll-up of a day: only from here on its usage events may go.
  UsageDayRolledUp: {
    type: 'object',
    additionalProperties: false,
    required: ['day', 'upTo', 'lost', 'covers'],
    properties: {
      day,
      // Revision of the day's stream that the roll-up ends with; -1: no token was used.
      upTo: { type: 'integer', minimum: -1 },
      // Uses declared as lost among the events covered.
      lost: { type: 'integer', minimum: 0 },
      // Every event in these streams up to the revision that is of this day is in the roll-up. Adds to what earlier
      // events of the day cover. Named by stream and revision, which hold in any store.
      covers: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['stream', 'revision'],
          properties: { stream: { type: 'string' }, revision: { type: 'integer', minimum: 0 } },
        },
      },
    },
  },
} as const

export type EventType = keyof typeof eventSchemas
export type EventData<T extends EventType> = FromSchema<(typeof eventSchemas)[T]>

export const metadataSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['at', 'actor', 'requestId', 'correlationId', 'schemaVersion', 'chain'],
  properties: {
    at: time,
    actor: {
      type: 'object',
      additionalProperties: false,
      required: ['kind', 'id'],
      properties: { kind: { enum: ['jwt', 'token', 'system'] }, id: { type: 'string' } },
    },
    requestId: { type: 'string' },
    correlationId: { type: 'string' },
    schemaVersion: { type: 'integer', minimum: 1 },
    ip: { type: ['string', 'null'] },
    userAgent: { type: ['string', 'null'] },
    bodyHash: { type: 'string' },
    informational: { const: true },
    chain: { type: 'string', pattern: '^[0-9a-f]{64}$' },
  },
} as const

/**
 * Who did it, when and on which request. `bodyHash` tells a repeated creation from a reused key. `informational` says
 * that the event decides nothing: whoever does not know its type may pass over it.
 */
export type Metadata = FromSchema<typeof metadataSchema>
export type Actor = Metadata['actor']

/** What an event store keeps: JSON it does not interpret. */
export interface StoredEvent {
  id: string
  type: string
  data: unknown
  metadata: unknown
  stream: string
  revision: number
  position: string
}

/** An event on its way into the store. */
export type NewEvent<T extends EventType = EventType> = T extends EventType
  ? { id: string; type: T; data: EventData<T>; metadata: Metadata }
  : never

/** An event read back, in its newest version. */
export type RecordedEvent<T extends EventType = EventType> = T extends EventType
  ? NewEvent<T> & { stream: string; revision: number; position: string }
  : never

const LIFECYCLE_TYPES = ['TokenCreated', 'TokenImported', 'TokenUpdated', 'TokenRevoked'] as const
export type LifecycleType = (typeof LIFECYCLE_TYPES)[number]
export type LifecycleEvent = RecordedEvent<LifecycleType>

/** Of the types that the streams of tokens hold, and no other stream. */
export const isLifecycleType = (type: string): boolean => LIFECYCLE_TYPES.some((one) => one === type)

export const isLifecycle = (event: RecordedEvent): event is LifecycleEvent => isLifecycleType(event.type)

export const TOKEN_STREAM = 'apiToken-'
export const USAGE_STREAM = 'tokenUsage-'
export const ROLLUP_STREAM = 'tokenUsageDaily-'
/** Who imports tokens of an older system, or did last. Never shortened. */
export const IMPORT_STREAM = 'tokenImport-lease'
/** What the names of the product's streams begin with. A log may hold others' too. */
export const STREAMS = [TOKEN_STREAM, USAGE_STREAM, ROLLUP_STREAM, 'tokenImport-'] as const

export const isOfToken = ({ stream }: Pick<StoredEvent, 'stream'>): boolean => stream.startsWith(TOKEN_STREAM)
export const tokenIdOf = (stream: string): string => stream.slice(TOKEN_STREAM.length)
export const tokenStream = (tokenId: string): string => TOKEN_STREAM + tokenId

/** One writer and one UTC day per stream: `instance` is unique per process start. */
export const usageStream = (instance: string, at: string): string =>
  `${USAGE_STREAM}${instance}_${at.slice(0, 10).replaceAll('-', '')}`

/** What the uses of one UTC day (`2026-11-22`) add up to. Never shortened. */
export const rollUpStream = (ofDay: string): string => ROLLUP_STREAM + ofDay.replaceAll('-', '')

/** Which days are rolled up, and how far. Never shortened. */
export const ROLLED_UP_DAYS = `${ROLLUP_STREAM}days`
