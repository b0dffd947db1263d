import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { tokens } from '../../../projections/tokens.ts'
import { createFiller, type FillDeps, type Filler, type Pace } from './filler.ts'
import type { NextGeneration } from '../ports/nextGeneration.ts'
import type { ReadModel } from '../ports/readModel.ts'
import { SharedValueError, StoreUnavailableError } from '../ports/errors.ts'
import { lowestCheckpoint, checkpointsOf } from '../readModel/standing.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'

export interface RebuildProgress {
  phase: 'filling' | 'switching'
  /** Read in this run. */
  events: number
  /** Where in the log, null before the first event. */
  position: string | null
}

interface FromLog extends FillDeps {
  /** Are these places in the log that is read? */
  isOfLog: (checkpoints: Checkpoints) => Promise<boolean>
}

export type RebuildDeps = FromLog & { readModel: ReadModel }
type OnRebuildProgress = (progress: RebuildProgress) => void

const UNHURRIED: Pace = { events: 50, restMs: 10 }
/** Between two looks whether something was left to this process; ever longer while what it finds fails. */
const LOOK_MS = { first: 250, longest: 60_000 }
/** Before the log is read on, where the live documents have come further. */
const BEHIND_MS = 20

/**
 * Fills the next generation of some projections beside the live one and switches to it. Killed, it is gone on with by
 * the next call.
 * @returns the number of events that were read
 * @throws RebuildUnderWayError, StoreUnavailableError, DamagedError; an AbortError after `signal`
 */
export async function rebuild(
  { readModel, ...deps }: RebuildDeps,
  projections: readonly Projection[],
  how: Partial<RebuildOptions> = {},
): Promise<number> {
  const next = await readModel.next(projections)
  try {
    if (next.isServed) how.giveWay?.()
    return await fillAndSwitch(deps, next, { signal: new AbortController().signal, ...how })
  } finally {
    await next.close()
  }
}

interface RebuildOptions {
  onProgress?: OnRebuildProgress
  /** Called first where a service is at work. */
  giveWay?: () => void
  signal: AbortSignal
  pace?: Pace
  /** Where in the log to end. Default: where it ends. */
  upTo?: string
}

async function fillAndSwitch(
  deps: FromLog,
  next: NextGeneration,
  { onProgress = () => {}, signal, pace, upTo }: RebuildOptions,
): Promise<number> {
  let count = 0
  let phase: RebuildProgress['phase'] = 'filling'
  if (!(await deps.isOfLog(await checkpointsOf(next, next.projections)))) await next.anew()
  const filler = await createFiller(deps, next, next.projections, {
    signal,
    ...(pace && { pace }),
    onProgress: (events, position) => onProgress({ phase, events: (count += events), position }),
  })
  const filled = await filler.fill(upTo)
  phase = 'switching'
  onProgress({ phase, events: count, position: lowestCheckpoint(filled)?.position ?? null })
  if ((await owned(filler, () => next.startDualWrites())) === 'promotedByService') return count
  for (;;) {
    // The store may have been replaced while it was read.
    if (!(await deps.isOfLog(await filler.fill(upTo))))
      throw new StoreUnavailableError('the event store is not the one that the rebuild began with')
    if (await owned(filler, () => next.promote())) return count
    await sleep(BEHIND_MS, undefined, { signal })
  }
}

/** Until each hash is that of one token. */
async function owned<T>(filler: Filler, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof SharedValueError && error.collection === tokens.name)) throw error
      await filler.closeLater(error.groups)
    }
  }
}

export interface Adopting {
  stop(): Promise<void>
}

/** Looks now and then whether another process has filled a next generation for this one, and switches to it. */
export function startAdopting({ readModel, ...deps }: RebuildDeps): Adopting {
  const stopping = new AbortController()
  const { signal } = stopping
  const { log } = deps.telemetry

  async function look(): Promise<void> {
    const next = await readModel.handedOver()
    if (!next) return
    const projections = next.projections.map(({ name, version }) => `${name}_v${version}`)
    log.info({ projections }, 'takes over a rebuilt read model')
    try {
      await fillAndSwitch(deps, next, { signal, pace: UNHURRIED })
    } finally {
      await next.close()
    }
    log.info({ projections }, 'serves from the rebuilt read model')
  }

  async function run(): Promise<void> {
    let pause = LOOK_MS.first
    while (await sleep(pause, true, { signal, ref: false }).catch(() => false)) {
      try {
        await look()
        pause = LOOK_MS.first
      } catch (err) {
        if (signal.aborted) return
        pause = Math.min(pause * 2, LOOK_MS.longest)
        log.error({ err }, 'a rebuilt read model could not be taken over yet')
      }
    }
  }

  const running = run()
  return {
    async stop() {
      stopping.abort()
      await running
    },
  }
}
