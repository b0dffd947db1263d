/** A long test, or a part of it that shows nearly as much. */
export interface Sweep {
  /** How many times to do it. */
  amount: number
  /** For the front of the title; empty if everything is done. */
  note: string
  /** So many of the items, evenly spread, with the first and the last. */
  of<T>(items: readonly T[]): T[]
}

const isFull = process.env.TEST_SWEEPS === 'full'

/**
 * For a test that does one thing many times. With `TEST_SWEEPS=full`, as in `.ci/run`, it is done in full, and
 * otherwise only in part, which the title says.
 * @param what is done so often, in the plural
 */
export function sweep(what: string, all: number, short: number): Sweep {
  const amount = isFull ? all : short
  return {
    amount,
    note: isFull ? '' : ` (short: ${short} of ${all} ${what}; TEST_SWEEPS=full runs all)`,
    of: (items) =>
      amount >= items.length
        ? [...items]
        : Array.from(
            { length: amount },
            (_, n) =>
              items[Math.round((n * (items.length - 1)) / Math.max(1, amount - 1))] as (typeof items)[0],
          ),
  }
}
