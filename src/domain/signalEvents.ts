import { id } from './schemaParts.ts'

/** What processes that share an event store tell each other. */
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
} as const
