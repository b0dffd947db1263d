import type { RecordedEvent } from '../src/domain/events.ts'

/**
 * A read model as a pure function: event in, document changes out. No I/O and no clock, so that a replay gives the
 * same documents. To add one: add a file here and name it in `index.ts`. To change one: raise its version.
 */
export interface Projection {
  name: string
  /** Stored documents belong to a version; a raised version is filled from the first event on. */
  version: number
  /** Types of the events it wants. */
  events: readonly RecordedEvent['type'][]
  collections: readonly Collection[]
  project(event: RecordedEvent): Change[]
}

export interface Collection {
  name: string
  /** JSON Schema of a whole document. While its changes arrive, any member but `id` may be missing yet. */
  schema: DocumentSchema
  indexes: readonly Index[]
  /** Members that `top` fills. Their keys are anybody's text, which not every store takes as names. */
  counters?: readonly string[]
  /**
   * The member with the time of a document that retention leaves nothing of in the log: from then on the document knows
   * more than the events, and one that is filled again is without it.
   */
  outlivesEvents?: string
}

/**
 * A list of fields, and behind them the id, so that whatever is read in its order has one. A unique one is of one field.
 * Documents that lack the last field, a text, are left out of a unique and of a sparse one.
 */
export interface Index {
  fields: readonly string[]
  unique?: boolean
  sparse?: boolean
}

export interface DocumentSchema {
  readonly type: 'object'
  readonly properties: { readonly id: { readonly type: 'string' }; readonly [member: string]: object }
  readonly required: readonly string[]
  readonly additionalProperties: boolean
}

export type Value = string | number | boolean | null | readonly string[] | { readonly [key: string]: unknown }

/** Counters by key in one member, the first `cap` keys by name and all others under `other`. */
export interface Top {
  field: string
  cap: number
  other: string
  counts: readonly (readonly [key: string, count: number])[]
}

/**
 * A change and its guard. Applying a change twice is applying it once; a document that is missing is made.
 * - `put` sets fields of the document that stands for one stream. Each field remembers the stream revision that set
 *   it and yields to a higher one only, so that the order of arrival does not matter.
 * - `add` moves counters, minima and maxima of a bucket. The document remembers the log position of its last `add`
 *   and takes only later ones: feed them in log order.
 * - `total` sets a bucket to what it adds up to as of this position, and the document's position with it, unless the
 *   document counts as much already: then nothing has to change. So a bucket comes out the same whether all, some or
 *   none of the `add`s before it are there, and those behind it go on from it. It must count every `add` before it;
 *   one that does not is made up for by the next `total`.
 * - `insert` adds a row whose id comes from the event, if it is not there.
 * - `replace` puts a document in place of whatever is there, which need not be readable, nor what the schema allows: for
 *   one that no other change can be made to any more.
 */
export type Change =
  | { kind: 'put'; collection: string; id: string; revision: number; fields: Record<string, Value> }
  | {
      kind: 'add'
      collection: string
      id: string
      position: string
      /** What the bucket is about: the same in every change to it. */
      set?: Record<string, Value>
      /** Dotted paths to counters. */
      sum?: Record<string, number>
      min?: Record<string, string>
      max?: Record<string, string>
      top?: readonly Top[]
    }
  | {
      kind: 'total'
      collection: string
      id: string
      position: string
      /** The counter that says how much a document counts. */
      by: string
      /** Whole members, counters by key included; none is taken apart. */
      fields: Record<string, Value>
    }
  | { kind: 'insert'; collection: string; id: string; fields: Record<string, Value> }
  | { kind: 'replace'; collection: string; id: string; fields: Record<string, Value> }
