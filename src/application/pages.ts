import type { Condition, Query, ReadModel, Scalar } from './ports.ts'

const PAGE = 1000

/** Walks a collection page by page, so that no answer of the store is large. In the order of `by`, then of the ids. */
export async function* eachDocument<T>(
  readModel: Pick<ReadModel, 'find'>,
  collection: string,
  where: readonly Condition[],
  { by = 'id', page = PAGE }: { by?: string; page?: number } = {},
): AsyncGenerator<T> {
  let after: Query['after']
  do {
    const query: Query = { where, order: { field: by }, limit: page, ...(after ? { after } : {}) }
    const found = await readModel.find(collection, query)
    yield* found as unknown[] as T[]
    const last = found.length === page ? found.at(-1) : undefined
    after = last && { value: (last[by] ?? null) as Scalar, id: last.id }
  } while (after)
}
