import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { StoreUnavailableError, UnknownOutcomeError } from '../../../src/application/ports/errors.ts'

/**
 * What happens to the next append. `landed`: it is stored, but its answer is lost; `lost`: it is neither stored nor
 * answered.
 */
export type AppendFault = 'ok' | 'unavailable' | 'landed' | 'lost'

export interface FaultyStore {
  store: EventStore
  /** While this is true, everything fails. */
  down: boolean
  /** What happens to the next appends, in order. Later ones succeed. */
  next: AppendFault[]
}

/** An event store that fails on demand. */
export function faultyStore(inner: EventStore): FaultyStore {
  const faulty: FaultyStore = { store: inner, down: false, next: [] }
  const unlessDown = <A extends unknown[], T>(method: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      if (faulty.down) throw new StoreUnavailableError('the event store is down')
      return method(...args)
    }
  }
  faulty.store = {
    ...inner,
    append: unlessDown(async (...args) => {
      const fault = faulty.next.shift() ?? 'ok'
      if (fault === 'unavailable') throw new StoreUnavailableError('the append was refused')
      if (fault === 'lost') throw new UnknownOutcomeError('the append was lost')
      const appended = await inner.append(...args)
      if (fault === 'landed') throw new UnknownOutcomeError('the answer was lost')
      return appended
    }),
    readStream: unlessDown(inner.readStream),
    head: unlessDown(inner.head),
  }
  return faulty
}

export interface FaultyReadModel {
  readModel: ReadModel
  down: boolean
}

/** A read model that fails on demand. */
export function faultyReadModel(inner: ReadModel): FaultyReadModel {
  const faulty: FaultyReadModel = { readModel: inner, down: false }
  const unlessDown = <A extends unknown[], T>(method: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      if (faulty.down) throw new StoreUnavailableError('the read model is down')
      return method(...args)
    }
  }
  faulty.readModel = {
    ...inner,
    apply: unlessDown(inner.apply),
    get: unlessDown(inner.get),
    find: unlessDown(inner.find),
    count: unlessDown(inner.count),
    ping: unlessDown(inner.ping),
  }
  return faulty
}
