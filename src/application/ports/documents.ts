export type Scalar = string | number | boolean | null

/** A document as it was projected. `id` is unique in its collection. */
export type Document = Record<string, unknown> & { id: string }

export type Condition =
  | { field: string; op: 'eq' | 'lt' | 'lte' | 'gte' | 'gt'; value: Scalar }
  /** Text that contains `value`. Fold both sides first for a search that ignores case. */
  | { field: string; op: 'contains'; value: string }
  | { field: string; op: 'in'; value: readonly string[] }
  | { any: readonly Condition[] }

/**
 * A query that an index of the collection serves: one whose first fields the conditions are equal to something in, and
 * whose last one is ordered by. What other conditions ask, each document in between is looked at for.
 */
export interface Query {
  where: readonly Condition[]
  /**
   * Ties break by id, ascending; null and absent values come last either way. Default: by id. `any`: as they are found,
   * for a look-up by ids or by a unique field.
   */
  order?: { field: string; descending?: boolean } | 'any'
  /** Continue behind the document with this value of the ordering field and this id. */
  after?: { value: Scalar; id: string }
  limit: number
}
