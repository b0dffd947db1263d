import type { Projection } from '../../projections/projection.ts'
import type { StoredEvent } from '../domain/events.ts'
import type { EventStore } from '../application/ports/eventStore.ts'
import type { ReadModel } from '../application/ports/readModel.ts'
import type { Telemetry } from '../application/ports/telemetry.ts'
import { createLogReader } from '../application/eventLog/logReader.ts'
import { startAdopting } from '../application/projection/rebuild.ts'
import { isOf } from '../application/logIdentity/sameLog.ts'
import { type SampleTelemetry, startSampler } from '../application/verification/sampler.ts'

/** The time between two samples of documents that are compared with their events, in milliseconds. */
const SAMPLE_MS = 15_000

interface Deps {
  store: EventStore
  readModel: ReadModel
  projections: readonly Projection[]
  telemetry: Telemetry & SampleTelemetry
  /** Applies a token's events again. */
  apply: (events: readonly StoredEvent[]) => Promise<void>
  /** For how many days usage events are kept. Null: for ever. */
  retentionDays: number | null
}

/** What a service does for its read model besides requests: it takes over a rebuilt one, and looks for differences. */
export function startUpkeep({ store, readModel, projections, telemetry, ...deps }: Deps): {
  stop(): Promise<void>
} {
  const adopting = startAdopting({ read: createLogReader(store), isOfLog: isOf(store), readModel, telemetry })
  const sampler = startSampler({
    store,
    readModel,
    projections,
    telemetry,
    ...deps,
    everyMs: SAMPLE_MS,
    random: Math.random,
  })
  return {
    async stop() {
      await Promise.all([adopting.stop(), sampler.stop()])
    },
  }
}
