import type { ReadModel } from '../ports/readModel.ts'
import type { Watch } from '../ports/sharing.ts'

/** What has to be known before a read model may be asked. */
export interface Currency {
  /** May its documents decide now? A look at clocks and memory. */
  isCurrent(): boolean
  /** Waits until they may. @throws StoreUnavailableError they may not */
  current(): Promise<void>
  /**
   * Waits until they are as new as this call. Absent where nobody else writes.
   * @throws StoreUnavailableError
   */
  currentNow?(): Promise<void>
}

/**
 * A read model whose look-ups decide only while it is current. What is not found is looked for once more after a proof
 * that begins now: another process may have made it just before.
 */
export function currentModel(readModel: ReadModel, currency: Currency): ReadModel {
  const { isCurrent, current, currentNow } = currency

  async function whileCurrent<T>(look: () => Promise<T>): Promise<T> {
    for (;;) {
      await current()
      const found = await look()
      if (isCurrent()) return found
    }
  }

  const lookingTwice =
    <A extends unknown[], T>(look: (...args: A) => Promise<T>, isFound: (answer: T) => boolean) =>
    async (...args: A): Promise<T> => {
      const found = await whileCurrent(() => look(...args))
      if (isFound(found) || !currentNow) return found
      await currentNow()
      return look(...args)
    }

  return {
    ...readModel,
    get: lookingTwice(readModel.get, (document) => document !== null),
    find: lookingTwice(readModel.find, (documents) => documents.length > 0),
    count: (...args) => whileCurrent(() => readModel.count(...args)),
    watch(...args): Watch {
      const watch = readModel.watch(...args)
      const isLive = (): boolean => isCurrent() && watch.isLive()
      // Where others write, a document that has just been read may be from before a change all the same.
      return currentNow ? { ...watch, isLive, trustsLookUps: false } : { ...watch, isLive }
    },
  }
}

/** What is read to decide a change: after all that was acknowledged, to whatever process, before it is read. */
export function modelAsAsked(readModel: ReadModel, asAsked: () => Promise<void>): ReadModel {
  const { get, find, count } = questionsAsAsked(
    { get: readModel.get, find: readModel.find, count: readModel.count },
    asAsked,
  )
  return { ...readModel, get, find, count }
}

type Question = (...args: never[]) => Promise<unknown>

export type Questions<Q> = { [Name in keyof Q]: Question }

/**
 * Questions that are answered after all that was acknowledged, to whatever process, before they were asked: once for
 * each, however much it reads.
 * @param asAsked waits until the read model is as new as its call. @throws StoreUnavailableError
 */
export function questionsAsAsked<Q extends Questions<Q>>(questions: Q, asAsked: () => Promise<void>): Q {
  const ask =
    (question: Question): Question =>
    async (...args) => {
      await asAsked()
      return question(...args)
    }
  const asked = Object.entries<Question>(questions).map(([name, question]) => [name, ask(question)])
  return Object.fromEntries(asked) as Q
}
