import { answers, shared } from '../application/health/answers.ts'
import type { Health } from '../http/routes/operations.ts'
import type { Parts } from './parts.ts'

export function healthOf({ guard, sharing, stores, projector }: Parts, isStopping: () => boolean) {
  const { store, readModel } = guard
  const askStores = shared(() => Promise.all([answers(store.head()), answers(readModel.ping())]))
  return async (): Promise<Health> => {
    const [eventStore, model] = await askStores()
    const [isReplaced, isLost] = [guard.flaw() !== null, readModel.loss() !== null]
    const writable = { eventStore: stores.store.isWritable(), readModel: stores.readModel.isWritable() }
    const [isTaken, isBehind] = [sharing.isTaken(), sharing.isBehind({ eventStore })]
    const faults = { eventStore: stores.store.fault(), readModel: stores.readModel.fault() }
    const [lag, stopping] = [projector.lag(), isStopping()]
    const found = { isReplaced, isTaken, isLost, isBehind, faults }
    return { eventStore, readModel: model, writable, lag, stopping, ...found }
  }
}
