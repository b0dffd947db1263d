import type { Readable } from 'node:stream'

/** What the server sends in answer to a call, taken in batches as it arrives. */
export interface Arrivals<T> {
  /** Takes up to `max` items that have arrived already. */
  take(max: number): T[]
  /** How many items have arrived and are not taken yet. */
  waiting(): number
  /**
   * Waits until there may be something to take, or `poke` is called.
   * @returns false after `ms` milliseconds of silence
   * @throws the error of the call, once all items that came before it were taken
   */
  next(ms: number): Promise<boolean>
  poke(): void
  /** Has the answer ended, and was all of it taken? */
  ended(): boolean
}

/**
 * Listens to a stream. Its errors are caught even when nobody waits for them any more, so they cannot end the process.
 */
export function arrivalsOf<T>(stream: Readable): Arrivals<T> {
  let failure: { error: unknown } | undefined
  let ended = false
  let wake: (() => void) | undefined

  const poke = (): void => wake?.()
  stream.on('readable', poke)
  stream.on('end', () => {
    ended = true
    poke()
  })
  stream.on('error', (error) => {
    failure ??= { error }
    poke()
  })

  return {
    take(max) {
      const taken: T[] = []
      while (taken.length < max) {
        const item = stream.read() as T | null
        if (item === null) break
        taken.push(item)
      }
      return taken
    },
    waiting: () => stream.readableLength,
    async next(ms) {
      if (stream.readableLength > 0 || ended) return true
      if (failure) throw failure.error
      return new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => {
          wake = undefined
          resolve(false)
        }, ms)
        wake = () => {
          wake = undefined
          clearTimeout(timer)
          // Items that came in one piece over the wire are emitted one by one. In the next turn all of them are here.
          setImmediate(resolve, true)
        }
      })
    },
    poke,
    ended: () => ended,
  }
}
