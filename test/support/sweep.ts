/** A long test, or a part of one that is as telling. */
export interface Sweep {
  /** How many times to do it. */
  amount: number
  /** For the title, in front of which it stands: empty where all is done. */
  note: string
  /** As many of these, evenly spread, the first and the last among them. */
  of<T>(items: readonly T[]): T[]
}

const isFull = process.env.TEST_SWEEPS === 'full'

/**
 * What takes long because it does one thing many times: in full with `TEST_SWEEPS=full`, as in `.ci/run`, and only some
 * of it otherwise, which its title says.
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
