export type Scalar = string | number | boolean | null

/** A document as readers get it. `id` is unique in its collection. */
export type Document = Record<string, unknown> & { id: string }

export type Condition =
  | { field: string; op: 'eq' | 'lt' | 'lte' | 'gte' | 'gt'; value: Scalar }
  /** The field is a text that contains `value`. For a search that ignores case, fold the case of both before. */
  | { field: string; op: 'contains'; value: string }
  | { field: string; op: 'in'; value: readonly string[] }
  | { any: readonly Condition[] }

/**
 * A query that an index of the collection has to serve: the conditions compare the first fields of the index for
 * equality, and the order is that of its last field. Any other condition is checked document by document.
 */
export interface Query {
  where: readonly Condition[]
  /**
   * Documents with equal values are ordered by id, ascending; null and absent values come last in either direction.
   * Default: by id. `any` means no order, for a look-up by ids or by a unique field.
   */
  order?: { field: string; descending?: boolean } | 'any'
  /** Continues behind the document that has this value in the ordering field, and this id. */
  after?: { value: Scalar; id: string }
  limit: number
  /**
   * Only for a look-up by ids: reads these members, which are whole numbers, and no others. A store looks at nothing
   * else of a document, so it does not find out whether that is damaged.
   */
  numbers?: readonly string[]
}
