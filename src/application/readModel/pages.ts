import type { Condition, Query, Scalar } from '../ports/documents.ts'
import type { DocumentReader } from '../ports/readModel.ts'
import { giveWay } from '../scheduling/turns.ts'

export interface DocumentWalk {
  where: readonly Condition[]
  /** Default: by id. */
  order?: { field: string }
  /** How many documents are read at a time. */
  page?: number
  signal?: AbortSignal | undefined
}

const PAGE = 500

/** Goes through documents page by page, and gives the event loop to others in between. */
export async function* eachDocument<T>(
  readModel: Pick<DocumentReader, 'find'>,
  collection: string,
  { where, order, page = PAGE, signal }: DocumentWalk,
): AsyncGenerator<T> {
  let after: Query['after']
  do {
    const query = { where, limit: page, ...(order && { order }), ...(after && { after }) }
    const found = await readModel.find(collection, query, signal)
    for (const document of found) {
      yield document as unknown as T
      const pause = giveWay(signal)
      if (pause) await pause
    }
    const last = found.length === page ? found.at(-1) : undefined
    after = last && { value: order ? ((last[order.field] as Scalar | undefined) ?? null) : null, id: last.id }
  } while (after)
}

/** Keeps the first items in an order, in bounded memory, however many are added. */
export interface Top<T> {
  add(item: T): void
  /** How many were added. */
  total(): number
  first(): T[]
}

/** @param compare is never 0 for two different items, so the result does not depend on the order of adding */
export function createTop<T>(limit: number, compare: (a: T, b: T) => number): Top<T> {
  let kept: T[] = []
  let total = 0

  function cut(): T[] {
    kept = kept.sort(compare).slice(0, limit)
    return kept
  }

  return {
    add(item) {
      total++
      if (kept.push(item) >= 2 * limit + 100) cut()
    },
    total: () => total,
    first: cut,
  }
}

export async function addAll<T>(top: Top<T>, items: Iterable<T>, signal?: AbortSignal): Promise<void> {
  for (const item of items) {
    top.add(item)
    const pause = giveWay(signal)
    if (pause) await pause
  }
}

/** How many ids one query asks for. */
const AT_ONCE = 100

/** The documents with these ids, in no particular order. */
export async function findById<T>(
  readModel: Pick<DocumentReader, 'find'>,
  collection: string,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<T[]> {
  const found: T[] = []
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const where: Condition[] = [{ field: 'id', op: 'in', value: ids.slice(from, from + AT_ONCE) }]
    const some = await readModel.find(collection, { where, order: 'any', limit: AT_ONCE }, signal)
    for (const document of some) found.push(document as unknown as T)
  }
  return found
}
