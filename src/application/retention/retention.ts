import { setTimeout as sleep } from 'node:timers/promises'
import { DamagedError } from '../../domain/errors.ts'
import { DAY_MS } from '../../domain/time.ts'
import type { Ids } from '../eventLog/ids.ts'
import { BULK_PATIENCE } from '../eventLog/patience.ts'
import { type Clock, iso } from '../ports/clock.ts'
import { ConflictError, LeadershipLostError } from '../ports/errors.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { untilAborted } from '../scheduling/untilAborted.ts'
import { rollUpDay } from './rollUp.ts'
import { createRolledUpDays } from './rolledUpDays.ts'
import { createUsageScan, type PendingDay } from './usageScan.ts'

/** A day is rolled up this long after its end, since uses may be written late, after an outage for example. */
export const GRACE_MS = 6 * 3_600_000
/** The time from gaining the lease to the first turn. */
const FIRST_MS = 1_000
const EVERY_MS = 10 * 60_000
/** The pause between two steps of a sweep, so that others can write. */
const SWEEP_PAUSE_MS = 20
/** New events come while others are rolled up. After so many rounds, the rest waits for the next turn. */
const MAX_ROUNDS = 3

export interface Retention {
  /** Starts to work in the background, a turn every ten minutes. */
  start(): void
  stop(): Promise<void>
  /** One turn: rolls up the days that are due, then lets the store drop what is older than the retention. */
  run(): Promise<void>
  /** How many days are older than the retention and yet not rolled up, as of the last turn. It should be 0. */
  overdue(): number
}

interface Dependencies {
  store: EventStore
  clock: Clock
  ids: Ids
  telemetry: Telemetry
  /** How many days usage events are kept. Null: for ever, and so there is nothing to do. */
  days: number | null
  /** Does this process lead, and so do this work? Two processes at once would do no harm, only twice the work. */
  leads: () => boolean
  /** Asks for the right to it before each turn. Default: whoever leads has it. */
  acquire?: () => Promise<boolean>
}

/**
 * Removes old usage events, but not what they add up to: before that, a day is rolled up into events of its own, which
 * are never removed.
 */
export function createRetention(deps: Dependencies): Retention {
  const { store, clock, ids, telemetry, days, leads, acquire = async () => leads() } = deps
  const { log } = telemetry
  const rolledUpDays = createRolledUpDays(store)
  const scan = createUsageScan(store, rolledUpDays)
  const stopping = new AbortController()
  const { signal } = stopping
  const stopped = untilAborted(signal)
  const patience = { ...BULK_PATIENCE, signal }
  const context = { store, clock, ids, telemetry, patience, instance: ids.random() }
  let running: Promise<void> = Promise.resolve()
  let overdue = 0

  const endedBefore = (age: number) => {
    const now = clock()
    return ({ day }: PendingDay): boolean => Date.parse(`${day}T00:00:00.000Z`) + DAY_MS + age <= now
  }

  async function rollUpAll(): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      await scan.advance(signal)
      const due = scan.pending().filter(endedBefore(GRACE_MS))
      if (due.length === 0) return
      for (const pending of due) {
        await unlessDamaged({ day: pending.day }, async () => {
          await rollUpDay(context, rolledUpDays, pending, signal)
          scan.rolledUp(pending.day)
          log.info({ day: pending.day }, 'usage rolled up')
        })
      }
    }
  }

  async function sweep(age: number): Promise<void> {
    const verified = new Set<string>()
    for (const { stream, revision, days: ofStream } of scan.finished(iso(clock() - age))) {
      await unlessDamaged({ stream }, async () => {
        for (const day of store.sweep ? ofStream : []) {
          if (!verified.has(day)) await rolledUpDays.verify(day)
          verified.add(day)
        }
        for (let more = true; more; ) {
          more = (await store.sweep?.(stream, revision)) ?? false
          await sleep(SWEEP_PAUSE_MS, undefined, { signal })
        }
        scan.forget(stream)
      })
    }
  }

  /** Damage in one place does not stop the work in others; it is logged again at every turn. */
  async function unlessDamaged(where: object, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (err) {
      if (!(err instanceof DamagedError)) throw err
      log.error({ ...where, err }, 'usage is not rolled up or swept')
    }
  }

  function report(age: number): void {
    const late = scan.pending().filter(endedBefore(age))
    overdue = late.length
    if (overdue === 0) return
    const [oldest] = late
    log.error({ days: overdue, oldest: oldest?.day }, 'days older than the retention are not rolled up')
  }

  async function run(): Promise<void> {
    if (days === null) return
    const age = days * DAY_MS
    try {
      await rolledUpDays.refresh()
      await rollUpAll()
      await sweep(age)
    } catch (err) {
      if (signal.aborted) return
      if (err instanceof ConflictError || err instanceof LeadershipLostError)
        log.info({ err }, 'another process rolls usage up')
      else log.error({ err }, 'usage is not rolled up or swept')
      // Even if the roll-ups are damaged, the events still show what is overdue.
      if (err instanceof DamagedError) await scan.advance(signal).catch(() => {})
    }
    report(age)
  }

  async function mayRun(): Promise<boolean> {
    try {
      // Asking others can take longer than a stop may.
      return await Promise.race([acquire(), stopped])
    } catch (err) {
      if (!signal.aborted) log.warn({ err }, 'who rolls usage up could not be found out')
      return false
    }
  }

  async function loop(): Promise<void> {
    for (let pause = FIRST_MS; await pausing(pause); ) {
      const isMine = await mayRun()
      if (isMine) await run()
      pause = isMine ? EVERY_MS : FIRST_MS
    }
  }

  const pausing = (milliseconds: number): Promise<boolean> =>
    sleep(milliseconds, true, { signal, ref: false }).catch(() => false)

  return {
    run,
    start() {
      if (days !== null) running = loop()
    },
    async stop() {
      stopping.abort()
      await running
    },
    overdue: () => (leads() ? overdue : 0),
  }
}
