import type { RecordedEvent } from '../src/domain/events.ts'

/**
 * A read model as a pure function: it gets an event and returns changes of documents. It has no I/O and no clock, so
 * that a replay gives the same documents. To add one, add a file here and name it in `index.ts`. To change one, raise
 * its version.
 */
export interface Projection {
  name: string
  /** Stored documents belong to a version. When it is raised, new documents are filled from the first event on. */
  version: number
  /** The types of the events that it gets. */
  events: readonly RecordedEvent['type'][]
  collections: readonly Collection[]
  project(event: RecordedEvent): DocumentChange[]
}

export interface Collection {
  name: string
  /** JSON Schema of a complete document. Until all its changes have arrived, any member but `id` may be missing. */
  schema: DocumentSchema
  indexes: readonly Index[]
  /** The members that `top` fills. Their keys may be any text, which not every store takes as names of fields. */
  counters?: readonly string[]
  /**
   * A member that changes far more often than all others, and by `latest` only. A store may keep it beside the document,
   * so that a change of it touches nothing else. It is a text, and an index ends with it.
   */
  apart?: string
  /**
   * For documents of which retention leaves nothing in the log: the member that holds a document's time. A document
   * that is older than the retention knows more than the events, and a rebuild loses it.
   */
  outlivesEvents?: string
}

/**
 * A list of fields. The id comes behind them, so that the order of documents is always complete. A unique index has
 * only one field. A unique or sparse index leaves out the documents that lack its last field, which is a text. An index
 * with `without` leaves out those that have this one of its fields.
 */
export interface Index {
  fields: readonly string[]
  unique?: boolean
  sparse?: boolean
  without?: string
}

export interface DocumentSchema {
  readonly type: 'object'
  readonly properties: { readonly id: { readonly type: 'string' }; readonly [member: string]: object }
  readonly required: readonly string[]
  readonly additionalProperties: boolean
}

export type Value = string | number | boolean | null | readonly string[] | { readonly [key: string]: unknown }

/** Counters by key, in one member: at most `cap` keys by name, and all further ones together as `other`. */
export interface Top {
  field: string
  cap: number
  other: string
  counts: readonly (readonly [key: string, count: number])[]
}

/**
 * A change of a document, with its guard: applying it twice has the same effect as applying it once. If the document is
 * missing, it is made.
 * - `put` sets fields of the document that stands for one stream. Each field remembers the stream revision that set it,
 *   and only a higher revision may set it again, so that the order of arrival does not matter.
 * - `add` changes counters, minima and maxima of a bucket. The document remembers the log position of its last `add`
 *   and ignores all that are not later. So apply them in log order.
 * - `total` sets a bucket to its sums as of this position, and the document's position as well, unless the document
 *   counts as much already. So the bucket becomes the same whether all, some or none of the `add`s before it were
 *   applied, and later ones count on from it. It has to include every `add` before it; if it does not, the next `total`
 *   corrects that.
 * - `latest` sets the member that is `apart`, unless it is as great already. So it may come in any order.
 * - `insert` adds a document whose id comes from the event, unless it is there already.
 * - `replace` puts a document in place of whatever is there, even if that cannot be read or violates the schema. It is
 *   for a document to which no other change can be applied any more.
 */
export type DocumentChange =
  | { kind: 'put'; collection: string; id: string; revision: number; fields: Record<string, Value> }
  | {
      kind: 'add'
      collection: string
      id: string
      position: string
      /** Says what the bucket is about. It is the same in every change to the bucket. */
      set?: Record<string, Value>
      /** What to add, by dotted paths to counters. */
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
      /** The counter that shows how much a document counts already. */
      by: string
      /** Each member is replaced as a whole, also one with counters by key. */
      fields: Record<string, Value>
    }
  | { kind: 'latest'; collection: string; id: string; field: string; value: string }
  | { kind: 'insert'; collection: string; id: string; fields: Record<string, Value> }
  | { kind: 'replace'; collection: string; id: string; fields: Record<string, Value> }
