import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import { createFiller, type FillDeps, type Pace } from './fill.ts'
import type { NextGeneration, ReadModel } from './ports.ts'

export interface RebuildProgress {
  phase: 'filling' | 'switching'
  /** Read in this run. */
  events: number
  /** Where in the log, null before the first event. */
  position: string | null
}

type Deps = FillDeps & { readModel: ReadModel }
type Told = (progress: RebuildProgress) => void

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
  { readModel, ...deps }: Deps,
  projections: readonly Projection[],
  how: Partial<How> = {},
): Promise<number> {
  const next = await readModel.next(projections)
  try {
    if (next.isServed) how.giveWay?.()
    return await fillAndSwitch(deps, next, { signal: new AbortController().signal, ...how })
  } finally {
    await next.close()
  }
}

interface How {
  told?: Told
  /** Called first where a service is at work. */
  giveWay?: () => void
  signal: AbortSignal
  pace?: Pace
  /** Where in the log to end. Default: where it ends. */
  upTo?: string
}

async function fillAndSwitch(
  deps: FillDeps,
  next: NextGeneration,
  { told = () => {}, signal, pace, upTo }: How,
): Promise<number> {
  let count = 0
  let phase: RebuildProgress['phase'] = 'filling'
  const filler = await createFiller(deps, next, next.projections, {
    signal,
    ...(pace && { pace }),
    told: (events, position) => told({ phase, events: (count += events), position }),
  })
  const position = await filler.fill(upTo)
  phase = 'switching'
  told({ phase, events: count, position })
  if ((await next.join()) === 'taken') return count
  for (;;) {
    await filler.fill(upTo)
    if (await next.promote()) return count
    await sleep(BEHIND_MS, undefined, { signal })
  }
}

export interface Adopting {
  stop(): Promise<void>
}

/** Looks now and then whether another process has filled a next generation for this one, and switches to it. */
export function startAdopting({ readModel, ...deps }: Deps): Adopting {
  const stopping = new AbortController()
  const { signal } = stopping
  const { log } = deps.telemetry

  async function look(): Promise<void> {
    const next = await readModel.offered()
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
