import type { FromSchema } from 'json-schema-to-ts'
import { number, string } from './members.ts'
import type { DocumentChange, Projection } from './projection.ts'
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
    // How many uses the event records, which no count includes, or only some counts. 0 for events without uses.
    uses: number,
  },
} as const

/** An event that other documents lack, wholly or in part, since it cannot be trusted, understood or applied. */
export type RefusedEventDocument = FromSchema<typeof schema>

/** Whoever applies events fills it directly, since no event says of itself that it is refused. */
export const refusedEvents: Projection = {
  name: 'refusedEvents',
  // A newer process may understand events that an older one has refused.
  version: versionOfLife(2),
  events: [],
  collections: [{ name: 'refusedEvents', schema, indexes: [] }],
  project: () => [],
}

export const refusalOf = (
  { position, stream, revision, type }: { position: string; stream: string; revision: number; type: string },
  reason: string,
  uses: number,
): DocumentChange => ({
  kind: 'insert',
  collection: 'refusedEvents',
  id: position,
  fields: { stream, revision, type, reason, uses },
})
