import { id, nullableTime, text, time } from './schemaParts.ts'

const number = { type: 'integer', minimum: 0 } as const

/** What processes that share an event store, or come after one another, tell each other. */
export const signalEventSchemas = {
  // Whoever reads its own one back has read everything before it.
  HeartbeatWritten: { type: 'object', additionalProperties: false, properties: {} },
  // `asked`: is anybody there? `held`: the process is, and has the lease. `present`: it is, and another one has the lease.
  // `released`: it had the lease, and has stopped in good order.
  LeaseAdvanced: {
    type: 'object',
    additionalProperties: false,
    required: ['process', 'shared', 'state'],
    properties: {
      process: id,
      // Do other processes write to this event store, too?
      shared: { type: 'boolean' },
      state: { enum: ['asked', 'held', 'present', 'released'] },
    },
  },
  // How far somebody was told of what happens to tokens. The newest of these events says all of it.
  DeliveryAdvanced: {
    type: 'object',
    additionalProperties: false,
    required: ['position', 'aside', 'stopped', 'lastFailure', 'givenUp'],
    properties: {
      // All events up to this position were delivered, but for those of the tokens that are put aside.
      position: { type: 'string' },
      aside: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['tokenId', 'revision', 'at', 'waiting', 'attempts', 'since', 'nextAt', 'reason'],
          properties: {
            tokenId: id,
            // The event that fails, and when it happened. How many wait, this one and those behind it.
            revision: number,
            at: time,
            waiting: number,
            attempts: number,
            // When its first attempt failed, if one has, and when it is tried next.
            since: nullableTime,
            nextAt: time,
            reason: { type: 'string' },
          },
        },
      },
      // Whoever is told wants no more, until somebody says otherwise. `target` is a hash of whom.
      stopped: {
        type: ['object', 'null'],
        additionalProperties: false,
        required: ['at', 'target'],
        properties: { at: time, target: { type: 'string' } },
      },
      lastFailure: {
        type: ['object', 'null'],
        additionalProperties: false,
        required: ['at', 'reason'],
        properties: { at: time, reason: { type: 'string' } },
      },
      // How many events were tried for so long that they are not tried any more.
      givenUp: number,
    },
  },
  // Hashes of this event store were made with this key. Whoever has another key under its id finds none of its tokens.
  PepperUsed: {
    type: 'object',
    additionalProperties: false,
    required: ['keyId', 'fingerprint'],
    properties: { keyId: text, fingerprint: { type: 'string', pattern: '^[0-9a-f]{32}$' } },
  },
} as const
