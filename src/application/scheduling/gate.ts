import { StoreUnavailableError } from '../ports/errors.ts'

/** Limits what callers make a store do: how much at once, how many may wait, and for how long. */
export interface Gate {
  /**
   * Does the work when its turn comes.
   * @throws OverLimitError the asker has nothing left; BusyError too many others wait, or waiting took too long
   */
  run<T>(work: () => Promise<T>, asker?: Asker): Promise<T>
  waiting(): number
  /** How many were refused because others waited. */
  refused(): number
}

/** Somebody for whom work is done. */
export interface Asker {
  name(): string
  /** How much may be under way for it: the number of failures that it still has, or its share. */
  left(): number
}

/** The work was not begun: the asker has used up all that it may cost. */
export class OverLimitError extends Error {
  override name = 'OverLimitError'
}

/** The work was not begun: too many others wait already. */
export class BusyError extends StoreUnavailableError {
  override name = 'BusyError'
}

// All callers share one error of each kind: a flood causes thousands a second, and taking a stack trace for each of
// them would cost more than answering.
const overLimit = new OverLimitError('the caller may not make the store work now')
const busy = new BusyError('too many others wait for the store')

export interface GateOptions {
  atOnce: number
  waiting: number
  /** How many may wait for one asker. Default: as many as for all. */
  waitingEach?: number
  waitMs: number
}

/**
 * For credentials that this process does not know. It knows none when it has just started, so all its callers must fit.
 */
export const LOOK_UPS: GateOptions = { atOnce: 16, waiting: 1024, waitMs: 200 }

interface Entry {
  asker: Asker
  begin(): void
  refuse(error: Error): void
}

const ANYBODY: Asker = { name: () => '', left: () => Number.POSITIVE_INFINITY }

/** @param onRefused called whenever somebody is refused because others wait */
export function createGate(options: GateOptions, onRefused: () => void = () => {}): Gate {
  const { atOnce, waiting, waitingEach = waiting, waitMs } = options
  const queue = new Set<Entry>()
  let underWay = 0
  /** How much is under way, and how many wait, for each asker. */
  const running = createTally()
  const queued = createTally()
  let refused = 0

  /** Everything that an asker has under way may fail. It is counted as if it did, so that no limit can be exceeded. */
  const mayBegin = ({ name, left }: Asker): boolean => underWay < atOnce && left() > running.of(name())

  function begin({ name }: Asker): void {
    underWay++
    running.add(name(), 1)
  }

  function end({ name }: Asker): void {
    underWay--
    running.add(name(), -1)
    letIn()
  }

  function letIn(): void {
    for (const entry of queue) {
      if (underWay === atOnce) return
      if (entry.asker.left() <= 0) entry.refuse(overLimit)
      else if (mayBegin(entry.asker)) entry.begin()
    }
  }

  function turnAway(): BusyError {
    refused++
    onRefused()
    return busy
  }

  function turn(asker: Asker): Promise<void> {
    const name = asker.name()
    if (queue.size >= waiting || queued.of(name) >= waitingEach) throw turnAway()
    return new Promise((resolve, reject) => {
      const leave = () => {
        queue.delete(entry)
        queued.add(name, -1)
        clearTimeout(timer)
      }
      const entry: Entry = {
        asker,
        begin() {
          leave()
          begin(asker)
          resolve()
        },
        refuse(error) {
          leave()
          reject(error)
        },
      }
      const timer = setTimeout(() => entry.refuse(turnAway()), waitMs)
      queue.add(entry)
      queued.add(name, 1)
      // There may be room for this one at once, while those before it wait for their own limits.
      letIn()
    })
  }

  return {
    async run(work, asker = ANYBODY) {
      if (asker.left() <= 0) throw overLimit
      if (queue.size === 0 && mayBegin(asker)) begin(asker)
      else await turn(asker)
      try {
        return await work()
      } finally {
        // Ends in a later turn of the loop. Otherwise work that waits for nothing would all be done in one turn; and by
        // then it is known whether the work has failed.
        setImmediate(end, asker)
      }
    },
    waiting: () => queue.size,
    refused: () => refused,
  }
}

/** Counts by name. A count of zero takes no memory. */
function createTally() {
  const counts = new Map<string, number>()
  const of = (name: string): number => counts.get(name) ?? 0
  return {
    of,
    add(name: string, n: number): void {
      const sum = of(name) + n
      if (sum > 0) counts.set(name, sum)
      else counts.delete(name)
    },
  }
}
