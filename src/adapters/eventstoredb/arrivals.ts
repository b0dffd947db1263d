import type { Readable } from 'node:stream'

/** What a call sends, taken as it arrives instead of one by one. */
export interface Arrivals<T> {
  /** The next of what is already here. */
  take(max: number): T[]
  /** How many have arrived and are not taken yet. */
  waiting(): number
  /**
   * Waits until there may be something to take, or `poke` is called.
   * @returns false after `ms` of silence
   * @throws what the call failed with, once all that came before it has been taken
   */
  next(ms: number): Promise<boolean>
  poke(): void
  /** All of it was taken. */
  ended(): boolean
}

/** The stream is left to itself after that: a failure nobody waits for any more ends no process. */
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
          // What came with it over the wire comes one by one: in the next turn it is all here.
          setImmediate(resolve, true)
        }
      })
    },
    poke,
    ended: () => ended,
  }
}
