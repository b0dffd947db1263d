import { jsonEvent } from '@eventstore/db-client'
import type { NewEvent, StoredEvent } from '../../domain/events.ts'
import { type LogPosition, toPosition } from './position.ts'

/** An event as the client reads it. */
export interface Recorded {
  id: string
  type: string
  streamId: string
  revision: bigint
  isJson: boolean
  data: unknown
  metadata: unknown
  position?: LogPosition
}

export const toJsonEvent = ({ id, type, data, metadata }: NewEvent) => jsonEvent({ id, type, data, metadata })

/** The size of an event in bytes, as the server counts it: its type in UTF-16, data, and metadata. */
export const sizeOf = ({ type, data, metadata }: NewEvent): number =>
  type.length * 2 + Buffer.byteLength(JSON.stringify(data)) + Buffer.byteLength(JSON.stringify(metadata))

/** Data that is not JSON was not written by this product. It becomes null, and so the event counts as damaged. */
export const toStoredEvent = (event: Recorded): StoredEvent => ({
  id: event.id,
  type: event.type,
  data: event.isJson ? event.data : null,
  metadata: event.metadata === undefined || event.metadata instanceof Uint8Array ? null : event.metadata,
  stream: event.streamId,
  revision: Number(event.revision),
  position: toPosition(event.position),
})

/** Does the stream belong to the server itself: metadata, statistics, settings? */
export const isSystemStream = (stream: string): boolean => stream.startsWith('$')
