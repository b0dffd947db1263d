import type { Condition, Query, ReadModel } from './ports.ts'

const PAGE = 1000

/** Walks a collection page by page, so that no answer of the store is large. In the order of the ids. */
export async function* eachDocument<T>(
  readModel: Pick<ReadModel, 'find'>,
  collection: string,
  where: readonly Condition[],
  page = PAGE,
): AsyncGenerator<T> {
  let after: Query['after']
  do {
    const found = await readModel.find(collection, { where, limit: page, ...(after ? { after } : {}) })
    yield* found as unknown[] as T[]
    const last = found.length === page ? found.at(-1) : undefined
    after = last && { value: null, id: last.id }
  } while (after)
}
