import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { tokens } from '../../../projections/tokens.ts'
import { createFiller, type FillDeps, type Filler, type Pace } from './filler.ts'
import type { NextGeneration } from '../ports/nextGeneration.ts'
import type { Rebuildable } from '../ports/readModel.ts'
import { SharedValueError, StoreUnavailableError } from '../ports/errors.ts'
import { lowestCheckpoint, checkpointsOf } from '../readModel/checkpoints.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'

export interface RebuildProgress {
  phase: 'filling' | 'switching'
  /** How many events this run has read. */
  events: number
  /** The position of the last one in the log; null before the first. */
  position: string | null
}

interface FromLog extends FillDeps {
  /** Do these checkpoints belong to the log that is read? */
  isOfLog: (checkpoints: Checkpoints) => Promise<boolean>
}

export type RebuildDeps = FromLog & { readModel: Rebuildable }
type OnRebuildProgress = (progress: RebuildProgress) => void

/** Slow enough that requests which are served meanwhile hardly notice. */
const UNHURRIED: Pace = { weight: 50, restMs: 10 }
/** The pause between two looks for a generation that was handed over. It doubles while taking one over fails. */
const LOOK_MS = { first: 250, longest: 60_000 }
/** The pause before more of the log is read, if the live documents have come further meanwhile. */
const BEHIND_MS = 20

/**
 * Fills the next generation of some projections beside the live one and switches to it. If the process is killed, the
 * next call resumes.
 * @returns the number of events that were read
 * @throws RebuildUnderWayError, StoreUnavailableError, DamagedError; an AbortError once `signal` is aborted
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
  /** Called before anything else if a service is running, so that this process leaves resources to it. */
  giveWay?: () => void
  signal: AbortSignal
  pace?: Pace
  /** The position to fill up to. Default: the end of the log. */
  upTo?: string
}

async function fillAndSwitch(
  deps: FromLog,
  next: NextGeneration,
  { onProgress = () => {}, signal, pace, upTo }: RebuildOptions,
): Promise<number> {
  let count = 0
  let phase: RebuildProgress['phase'] = 'filling'
  if (!(await deps.isOfLog(await checkpointsOf(next, next.projections)))) await next.restart()
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
    // The event store may have been replaced while it was read.
    if (!(await deps.isOfLog(await filler.fill(upTo))))
      throw new StoreUnavailableError('the event store is not the one that the rebuild began with')
    if (await owned(filler, () => next.promote())) return count
    await sleep(BEHIND_MS, undefined, { signal })
  }
}

/** Does the work, closing tokens that share a hash with an earlier one, until no two share one. */
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

/** Looks regularly whether another process has handed over a filled generation, and switches to it. */
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
