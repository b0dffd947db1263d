import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../projections/projection.ts'
import { type StoredEvent, STREAMS } from '../domain/events.ts'
import { advanced, createChanges, slowest, standingOf } from './changes.ts'
import type { EventStore, NextGeneration, ReadModel, Telemetry } from './ports.ts'

export interface RebuildProgress {
  phase: 'filling' | 'switching'
  /** Read in this run. */
  events: number
  /** Where in the log, null before the first event. */
  position: string | null
}

type Deps = {
  store: EventStore
  telemetry: Pick<Telemetry, 'damaged' | 'log'>
}

type Told = (progress: RebuildProgress) => void

/** How events are taken by a process that has something else to do: as many at once, and what it rests between them. */
interface Pace {
  events: number
  restMs: number
}

const UNHURRIED: Pace = { events: 50, restMs: 10 }
/** Between two looks whether something was left to this process. */
const LOOK_MS = 250
/** Before the log is read on, where the live documents have come further. */
const BEHIND_MS = 20

/**
 * Fills the next generation of some projections beside the live one and switches to it. Killed, it is gone on with by
 * the next call.
 * @returns the number of events that were read
 * @throws RebuildUnderWayError, StoreUnavailableError, DamagedError; an AbortError after `signal`
 */
export async function rebuild(
  { store, readModel, telemetry }: Deps & { readModel: ReadModel },
  projections: readonly Projection[],
  told: Told = () => {},
  signal: AbortSignal = new AbortController().signal,
): Promise<number> {
  const next = await readModel.next(projections)
  try {
    return await fillAndSwitch({ store, telemetry }, next, { told, signal, pace: null })
  } finally {
    await next.close()
  }
}

/** Finishes what another process has filled for this one, which serves requests meanwhile. */
export async function adopt({ store, telemetry }: Deps, next: NextGeneration, signal: AbortSignal): Promise<void> {
  try {
    await fillAndSwitch({ store, telemetry }, next, { told: () => {}, signal, pace: UNHURRIED })
  } finally {
    await next.close()
  }
}

interface How {
  told: Told
  signal: AbortSignal
  pace: Pace | null
}

async function fillAndSwitch({ store, telemetry }: Deps, next: NextGeneration, how: How): Promise<number> {
  const { signal, told, pace } = how
  const changesOf = createChanges(store, next.projections, telemetry)
  let standing = await standingOf(next, next.projections)
  let count = 0
  let phase: RebuildProgress['phase'] = 'filling'

  async function take(events: readonly StoredEvent[]): Promise<void> {
    const position = events.at(-1)?.position
    if (position === undefined) return
    const { changes } = await changesOf(events, standing)
    await next.apply(changes, { after: standing, position, of: next.projections, term: 0 })
    standing = advanced(standing, position)
    count += events.length
    told({ phase, events: count, position })
  }

  /** Reads on to the end that the log has when this is called, or a later one. */
  async function fill(): Promise<void> {
    const until = new AbortController()
    const either = AbortSignal.any([until.signal, signal])
    try {
      for await (const { events, caughtUp } of store.subscribe(slowest(standing), STREAMS, either)) {
        for (const some of slices(events, pace?.events ?? events.length)) {
          await take(some)
          // Not after the last ones: the live documents would come further meanwhile.
          if (pace && some.length === pace.events) await sleep(pace.restMs, undefined, { signal })
        }
        if (caughtUp) break
      }
    } finally {
      until.abort()
    }
    signal.throwIfAborted()
  }

  await fill()
  phase = 'switching'
  told({ phase, events: count, position: slowest(standing) })
  if ((await next.join()) === 'taken') return count
  for (;;) {
    await fill()
    if (await next.promote()) return count
    await sleep(BEHIND_MS, undefined, { signal })
  }
}

function* slices(events: readonly StoredEvent[], size: number): Generator<readonly StoredEvent[]> {
  for (let from = 0; from < events.length; from += size) yield events.slice(from, from + size)
}

export interface Adopting {
  stop(): Promise<void>
}

/** Looks now and then whether another process has filled a next generation for this one, and switches to it. */
export function startAdopting({ store, readModel, telemetry }: Deps & { readModel: ReadModel }): Adopting {
  const stopping = new AbortController()
  const { signal } = stopping

  async function look(): Promise<void> {
    const next = await readModel.offered()
    if (!next) return
    telemetry.log.info({ projections: namesOf(next.projections) }, 'takes over a rebuilt read model')
    await adopt({ store, telemetry }, next, signal)
    telemetry.log.info({ projections: namesOf(next.projections) }, 'serves from the rebuilt read model')
  }

  async function run(): Promise<void> {
    while (await sleep(LOOK_MS, true, { signal, ref: false }).catch(() => false)) {
      await look().catch((err: unknown) => {
        if (!signal.aborted) telemetry.log.error({ err }, 'a rebuilt read model could not be taken over')
      })
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

const namesOf = (projections: readonly Projection[]): string[] =>
  projections.map(({ name, version }) => `${name}_v${version}`)
