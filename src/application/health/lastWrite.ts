import type { EventStore } from '../ports/eventStore.ts'
import type { ReadModel } from '../ports/readModel.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../ports/errors.ts'

/**
 * For so long a failed write is taken as a sign that the next one will fail. Without traffic nothing would clear it.
 */
const REMEMBERED_MS = 30_000

/** Adds `isWritable` to a store that lacks it, by remembering the last append: a store may answer reads and be full. */
export function knowingItsAppends(store: EventStore): EventStore & Required<Pick<EventStore, 'isWritable'>> {
  const { isWritable } = store
  if (isWritable) return { ...store, isWritable }
  const { write, succeeded } = rememberLastWrite(store.append)
  return { ...store, append: write, isWritable: succeeded }
}

/** The same for a read model. */
export function knowingItsChanges(model: ReadModel): ReadModel & Required<Pick<ReadModel, 'isWritable'>> {
  const { isWritable } = model
  if (isWritable) return { ...model, isWritable }
  const { write, succeeded } = rememberLastWrite(model.apply)
  return { ...model, apply: write, isWritable: succeeded }
}

function rememberLastWrite<Args extends unknown[], T>(write: (...args: Args) => Promise<T>) {
  let failedAt: number | null = null
  return {
    succeeded: () => failedAt === null || performance.now() - failedAt > REMEMBERED_MS,
    async write(...args: Args): Promise<T> {
      try {
        const result = await write(...args)
        failedAt = null
        return result
      } catch (error) {
        const isOutage = error instanceof StoreUnavailableError || error instanceof UnknownOutcomeError
        failedAt = isOutage ? performance.now() : null
        throw error
      }
    },
  }
}
