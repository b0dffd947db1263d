import { StoreUnavailableError } from '../ports/errors.ts'

/** A bound on what callers make a store do: so much at once, so many who wait, and not for long. */
export interface Gate {
  /**
   * Does the work when its turn comes.
   * @throws OverLimitError the asker has nothing left, BusyError too many wait or it would take too long
   */
  run<T>(work: () => Promise<T>, asker?: Asker): Promise<T>
  waiting(): number
  /** How many were turned away because others wait. */
  refused(): number
}

/** Somebody for whom work is done. */
export interface Asker {
  name(): string
  /** How much may be under way for it: how often it may still be in vain, or its share. */
  left(): number
}

/** The work was not begun: whoever it is for has used up what a stranger may cost. */
export class OverLimitError extends Error {
  override name = 'OverLimitError'
}

/** The work was not begun: others wait already. */
export class BusyError extends StoreUnavailableError {
  override name = 'BusyError'
}

// One of each for all: a flood makes thousands a second, and to note where each came from costs more than to answer.
const overLimit = new OverLimitError('the caller may not make the store work now')
const busy = new BusyError('too many others wait for the store')

export interface GateOptions {
  atOnce: number
  waiting: number
  /** For one asker. Default: all of them. */
  waitingEach?: number
  waitMs: number
}

/** For credentials that nobody knows here. A service that has just started knows none: its callers have to fit in. */
export const LOOK_UPS: GateOptions = { atOnce: 16, waiting: 1024, waitMs: 200 }

interface Entry {
  asker: Asker
  begin(): void
  refuse(error: Error): void
}

const ANYBODY: Asker = { name: () => '', left: () => Number.POSITIVE_INFINITY }

/** @param onRefused is told whenever somebody is turned away because others wait */
export function createGate(options: GateOptions, onRefused: () => void = () => {}): Gate {
  const { atOnce, waiting, waitingEach = waiting, waitMs } = options
  const queue = new Set<Entry>()
  let underWay = 0
  /** How much is under way, and how many wait, of each asker. */
  const running = createTally()
  const queued = createTally()
  let refused = 0

  /** What an asker has under way may all be in vain: it is counted as if it were, so that no limit is passed. */
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
      // There may be room that those before it must not take.
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
        // In a later turn of the loop: work that does not wait for anything would otherwise be done all in one. Until
        // then it is known whether it was in vain.
        setImmediate(end, asker)
      }
    },
    waiting: () => queue.size,
    refused: () => refused,
  }
}

/** Counts by name, of which those at zero are not kept. */
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
