import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { eventually } from '../suite/eventually.ts'

type Call = (...args: unknown[]) => unknown

/**
 * A store whose calls are repeated while it is unavailable, as the product does, since a server may not answer in time
 * on a busy machine. It is for tests of what a store answers, not of when.
 */
export function patient<T extends object>(store: T): T {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      return (...args: unknown[]): unknown => {
        const answer = (member as Call).apply(target, args)
        if (!(answer instanceof Promise)) return answer
        let first: Promise<unknown> | null = answer
        return whenAvailable(() => {
          const call = first ?? (member as Call).apply(target, args)
          first = null
          return call as Promise<unknown>
        }).then((made) => (hasCalls(made) ? patient(made) : made))
      }
    },
  })
}

/** Does a call return something with calls of its own, like the next generation of documents? */
const hasCalls = (made: unknown): made is object =>
  typeof made === 'object' &&
  made !== null &&
  Object.values(made).some((member) => typeof member === 'function')

/** Repeats a call until the store is available. */
export async function whenAvailable<T>(call: () => Promise<T>): Promise<T> {
  const outcome = await eventually(async () => {
    try {
      return { answer: await call() }
    } catch (error) {
      if (error instanceof StoreUnavailableError && !/ is closed/.test(error.message)) throw error
      return { error }
    }
  })
  if ('error' in outcome) throw outcome.error
  return outcome.answer
}

/** Opens a read model on MongoDB, for tests of what it does, which are not about outages. */
export const openPatiently = async (...args: Parameters<typeof openMongoReadModel>): Promise<ReadModel> =>
  patient(await whenAvailable(() => openMongoReadModel(...args)))
