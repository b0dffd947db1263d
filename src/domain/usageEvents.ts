import {
  id,
  time,
  count,
  text,
  nullableText,
  counts,
  accountId,
  day,
  outcomes,
  revision,
  routes,
} from './schemaParts.ts'

/** What is counted of uses, apart from the token that was used. */
const ofUses = {
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
  // The revision of the token's stream on which the uses were decided.
  tokenRevision: revision,
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
} as const

const alwaysOfUses = [
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
] as const

/** The counts of the uses of tokens, and what is made of the counts later. */
export const usageEventSchemas = {
  /**
   * Uses in one window of one process, in one entry for each token, secret of it, hour, and revision that they were
   * decided on. Members that would repeat others are left out: without `addresses`, all uses came from `lastIp`;
   * without `userAgents`, all came from `lastUserAgent`; and without `outcomes`, a route has those of the entry, if
   * that has a single one. `otherAddresses` and `otherUserAgents` count uses by callers that are not listed. `secret`
   * names the secret by the revision of the event, in the token's stream, that brought it.
   */
  TokensUsed: {
    type: 'object',
    additionalProperties: false,
    required: ['entries'],
    properties: {
      entries: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          additionalProperties: false,
          required: [...alwaysOfUses, 'secret'],
          properties: { ...ofUses, secret: revision },
        },
      },
    },
  },
  /** As one entry of `TokensUsed`. It was written while a token had a single secret, and is written no more. */
  TokenUsed: {
    type: 'object',
    additionalProperties: false,
    required: alwaysOfUses,
    properties: ofUses,
  },
  /**
   * Requests with secrets of tokens that had retired, or were dead for another reason, in one window of one process: one
   * entry for each token, secret and UTC day. They were refused, so they are no uses.
   */
  RetiredSecretsUsed: {
    type: 'object',
    additionalProperties: false,
    required: ['entries'],
    properties: {
      entries: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          additionalProperties: false,
          required: [
            'tokenId',
            'accountId',
            'secret',
            'count',
            'firstAt',
            'lastAt',
            'lastIp',
            'lastUserAgent',
          ],
          properties: {
            tokenId: id,
            accountId: text,
            secret: revision,
            count,
            firstAt: time,
            lastAt: time,
            lastIp: nullableText,
            lastUserAgent: nullableText,
          },
        },
      },
    },
  },
  UsageLost: {
    type: 'object',
    additionalProperties: false,
    required: ['count', 'from', 'to', 'cause'],
    properties: { count, from: time, to: time, cause: { type: 'string' } },
  },
  // The sums of a token's uses in one UTC day. They are totals, not increments, so they hold whether or not the events
  // that they were made from are still there. They cover the hours and the day, in several events if they are too large
  // for one.
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
          required: ['granularity', 'at', 'count', 'firstAt', 'lastAt', 'outcomes', 'routes', 'secrets'],
          properties: {
            granularity: { enum: ['hour', 'day'] },
            // The start of the bucket.
            at: time,
            count,
            firstAt: time,
            lastAt: time,
            outcomes,
            routes,
            // The uses by secret; in all, as many as `count`.
            secrets: {
              type: 'array',
              minItems: 1,
              items: {
                type: 'object',
                additionalProperties: false,
                required: ['secret', 'count', 'lastAt'],
                properties: { secret: revision, count, lastAt: time },
              },
            },
          },
        },
      },
    },
  },
  // Completes the roll-up of a day. Only after it may the usage events of the day be removed.
  UsageDayRolledUp: {
    type: 'object',
    additionalProperties: false,
    required: ['day', 'upTo', 'lost', 'covers'],
    properties: {
      day,
      // The revision of the day's stream at which the roll-up ends; -1 if no token was used.
      upTo: { type: 'integer', minimum: -1 },
      // Uses that were declared lost in the events that are covered.
      lost: { type: 'integer', minimum: 0 },
      // In these streams, every event of this day up to the revision is included in the roll-up, in addition to those
      // that earlier events of the day cover. Stream and revision name them, since those are the same in every store.
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
