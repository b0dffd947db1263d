import type { FromSchema } from 'json-schema-to-ts'
import { number, string } from './members.ts'
import type { Change, Projection } from './projection.ts'
import { versionOfLife } from './versionOfLife.ts'

const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'stream', 'revision', 'type', 'reason', 'uses'],
  properties: {
    // The event's position in the log.
    id: string,
    stream: string,
    revision: { type: 'integer' },
    type: string,
    reason: string,
    // Uses that the event tells of and that are in no count, or in some only. 0 for events that tell of none.
    uses: number,
  },
} as const

/** An event that the other documents are without, or have in part: it cannot be trusted, or cannot be projected. */
export type RefusedEventDocument = FromSchema<typeof schema>

/** Filled by whoever applies events, since no event says of itself that it is refused. */
export const refusedEvents: Projection = {
  name: 'refusedEvents',
  // What an older process refused is no refusal of one that knows more.
  version: versionOfLife(1),
  events: [],
  collections: [{ name: 'refusedEvents', schema, indexes: [] }],
  project: () => [],
}

export const refusalOf = (
  { position, stream, revision, type }: { position: string; stream: string; revision: number; type: string },
  reason: string,
  uses: number,
): Change => ({
  kind: 'insert',
  collection: 'refusedEvents',
  id: position,
  fields: { stream, revision, type, reason, uses },
})
