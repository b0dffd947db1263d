import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { hasReached } from '../logIdentity/sameLog.ts'
import type { EventStore } from '../ports/eventStore.ts'
import type { ProjectionTarget } from '../ports/readModel.ts'
import type { Telemetry } from '../ports/telemetry.ts'
import { checkpointsOf, lowestCheckpoint } from '../readModel/checkpoints.ts'

/** In milliseconds. What is missing then comes at the next start. */
const PATIENCE_MS = 2000
const PAUSE_MS = 10

interface Dependencies {
  store: Pick<EventStore, 'at' | 'head' | 'readAll'>
  readModel: Pick<ProjectionTarget, 'checkpoint'>
  projections: readonly Projection[]
  telemetry: Pick<Telemetry, 'log'>
}

/**
 * Waits for a while until documents that are being filled have the events that the log has now, so that whoever reads
 * them after a stop finds the last uses.
 */
export async function untilProjected({
  store,
  readModel,
  projections,
  telemetry,
}: Dependencies): Promise<void> {
  const over = new AbortController()
  const isProjected = async (end: string | null): Promise<boolean> =>
    hasReached(store, lowestCheckpoint(await checkpointsOf(readModel, projections)), end)
  async function look(): Promise<void> {
    const end = await store.head()
    while (!over.signal.aborted && !(await isProjected(end))) await sleep(PAUSE_MS)
  }
  const looking = look().catch((err: unknown) =>
    telemetry.log.warn(
      { err },
      'the last events may not be in the read model yet: the next start brings them',
    ),
  )
  await Promise.race([looking, sleep(PATIENCE_MS, undefined, { ref: false })])
  over.abort()
}
