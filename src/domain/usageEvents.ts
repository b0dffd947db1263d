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
  routes,
} from './schemaParts.ts'

/** What is counted of the uses of tokens, and what becomes of the counts. */
export const usageEventSchemas = {
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
