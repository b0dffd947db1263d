import { createGate, type Gate, LOOK_UPS } from './gate.ts'
import type { Logger } from '../ports/telemetry.ts'

/** For requests that read: those of one account can delay others only a little, and authentication not at all. */
const READS = { atOnce: 32, waiting: 1024, waitingEach: 64, waitMs: 1_000 }
/** A flood is logged once in this time. */
const LOG_EVERY_MS = 10_000

/**
 * Numbers that are read when the metrics are asked for; a record gives several, by the label `of`. Counters only grow.
 */
export interface Instruments {
  gauge(name: string, help: string, read: () => number | Record<string, number>): void
  counter(name: string, help: string, read: () => number | Record<string, number>): void
}

export interface Gates {
  /** Look-ups of credentials that this process does not know. */
  lookUps: Gate
  /** Reading requests to the management routes. */
  reads: Gate
}

/** The limits of what requests make the read model do, shown by metrics, and by the log when they are reached. */
export function createGates({ log, gauge, counter }: Instruments & { log: Logger }): Gates {
  let loggedAt = Number.NEGATIVE_INFINITY
  const onRefused = () => {
    if (performance.now() - loggedAt < LOG_EVERY_MS) return
    loggedAt = performance.now()
    log.warn(waiting(), 'requests are answered 503 since too many others wait for the read model')
  }
  const gates = { lookUps: createGate(LOOK_UPS, onRefused), reads: createGate(READS, onRefused) }
  const waiting = () => ({ lookUps: gates.lookUps.waiting(), reads: gates.reads.waiting() })
  gauge('look_ups_waiting', 'Look-ups of credentials nobody knows here that wait.', gates.lookUps.waiting)
  counter('look_ups_refused_total', 'Of those, the ones that were refused.', gates.lookUps.refused)
  gauge('reads_waiting', 'Requests that read and wait.', gates.reads.waiting)
  counter('reads_refused_total', 'Of those, the ones that were refused.', gates.reads.refused)
  return gates
}
