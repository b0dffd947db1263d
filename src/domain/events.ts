import type { FromSchema } from 'json-schema-to-ts'
import { importEventSchemas } from './importEvents.ts'
import { portalEventSchemas } from './portalEvents.ts'
import { time } from './schemaParts.ts'
import { signalEventSchemas } from './signalEvents.ts'
import { isLifecycleType, type LifecycleType, tokenEventSchemas } from './tokenEvents.ts'
import { usageEventSchemas } from './usageEvents.ts'

/**
 * The facts. One schema per event type is the source of both the TypeScript type and the run-time check.
 * Times are RFC 3339 UTC with milliseconds, ids are UUIDs, `revision` counts from 0.
 */

export const eventSchemas = {
  ...tokenEventSchemas,
  ...usageEventSchemas,
  ...importEventSchemas,
  ...portalEventSchemas,
  ...signalEventSchemas,
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
      properties: {
        kind: { enum: ['jwt', 'user', 'token', 'operator', 'client', 'code', 'system'] },
        id: { type: 'string' },
      },
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
 * Who did it, when, and on which request. `bodyHash` tells a repeated creation from one that reuses the key with other
 * input. `informational` says that the event decides nothing, so that code which does not know its type may ignore it.
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
  /** Whose token it is, for an event of a token's life that was read to be projected; null where nothing says it. */
  accountId?: string | null
}

/** What a command does to a token: a fact without its envelope. A command causes one at most. */
export type Fact<T extends EventType = EventType> = T extends EventType
  ? { type: T; data: EventData<T> }
  : never

/** An event on its way into the store. */
export type NewEvent<T extends EventType = EventType> = T extends EventType
  ? { id: string; type: T; data: EventData<T>; metadata: Metadata }
  : never

/** An event read back, in its newest version. */
export type RecordedEvent<T extends EventType = EventType> = T extends EventType
  ? NewEvent<T> & Pick<StoredEvent, 'stream' | 'revision' | 'position' | 'accountId'>
  : never

export type LifecycleEvent = RecordedEvent<LifecycleType>

export const isLifecycle = (event: RecordedEvent): event is LifecycleEvent => isLifecycleType(event.type)
