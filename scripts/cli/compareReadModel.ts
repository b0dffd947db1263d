import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { projections } from '../../projections/index.ts'
import type { Projection } from '../../projections/projection.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { compare, type Comparison } from '../../src/application/verification/compare.ts'
import { type Clock, iso } from '../../src/application/ports/clock.ts'
import type { Logger } from '../../src/application/ports/telemetry.ts'
import { createLogReader } from '../../src/application/eventLog/logReader.ts'
import { rebuild, type RebuildDeps, type RebuildProgress } from '../../src/application/projection/rebuild.ts'
import { isOf } from '../../src/application/logIdentity/sameLog.ts'
import { lowestCheckpoint, checkpointsOf } from '../../src/application/readModel/checkpoints.ts'
import { DAY_MS } from '../../src/domain/time.ts'
import { withReadAhead } from '../../src/stores/readAhead.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { withTemporaryFolder } from './temporaryFolder.ts'
import { openReadModel } from '../../src/stores/open.ts'
import { countBetween, type ProjectionLag, settledCheckpoint } from './projectionLag.ts'
import { withEventStore, withReadModel } from './stores.ts'

export interface CompareProgress {
  phase: 'folding' | 'comparing'
  /** Events folded or documents compared so far. */
  count: number
  position: string | null
  /** Where the fold ends. */
  end: string
}

export interface ReadModelComparison extends Comparison {
  /** How far each projection was compared, and how many events the log had behind that when it began. */
  lags: (ProjectionLag & { projection: Projection })[]
}

/**
 * Compares the read model with a fold of the events, document by document. A service may be running meanwhile. The fold
 * is made in a temporary file, which is about as large as a read model on SQLite.
 * @throws as `withReadModel`
 */
export async function compareReadModel(
  settings: Settings,
  {
    log,
    onProgress = () => {},
    clock = Date.now,
  }: { log: Logger; onProgress?: (progress: CompareProgress) => void; clock?: Clock },
): Promise<ReadModelComparison> {
  const telemetry = { log, damaged() {} }
  return withEventStore(settings, ({ store }) =>
    withReadModel(settings, Date.now, ({ readModel }) =>
      inTemporaryFile(async (url) => {
        const head = await store.head()
        await Promise.all(projections.map((one) => settledCheckpoint(readModel, one, head)))
        const end = lowestCheckpoint(await checkpointsOf(readModel, projections))?.position ?? ''
        await withReadAhead(settings, (read) =>
          foldInto(url, { read, telemetry, isOfLog: isOf(store) }, end, ({ events, position }) =>
            onProgress({ phase: 'folding', count: events, position, end }),
          ),
        )
        const scratch = await openReadModel(url)
        try {
          await scratch.open(projections)
          const keptFrom = usageKeptFrom(settings, clock())
          const read = createLogReader(store)
          const deps = { read, telemetry, readModel, scratch, projections, keptFrom }
          const compared = await compare(deps, (count) =>
            onProgress({ phase: 'comparing', count, position: null, end }),
          )
          return { ...compared, lags: await lagsOf(store, compared, head) }
        } finally {
          await scratch.close()
        }
      }),
    ),
  )
}

async function lagsOf(
  store: EventStore,
  { checkpoints }: Comparison,
  head: string | null,
): Promise<ReadModelComparison['lags']> {
  const lags: ReadModelComparison['lags'] = []
  for (const { projection, checkpoint } of checkpoints) {
    // Most projections are at the same place, and what is behind it is counted once.
    const counted = lags.find((other) => other.checkpoint === checkpoint)
    lags.push({ projection, checkpoint, lag: counted?.lag ?? (await countBetween(store, checkpoint, head)) })
  }
  return lags
}

/** The time before which retention may have taken usage; null if usage is kept for ever. */
const usageKeptFrom = ({ usageRetentionDays: days }: Settings, now: number): string | null =>
  days === null ? null : iso(now - days * DAY_MS)

type ModelUrl = Pick<Settings, 'readModelUrl'>

/** Folds the events by rebuilding an empty read model. That is the same code as in a service, in larger steps. */
async function foldInto(
  url: ModelUrl,
  deps: Omit<RebuildDeps, 'readModel'>,
  upTo: string,
  onProgress: (progress: RebuildProgress) => void,
): Promise<void> {
  const empty = await openReadModel(url)
  await empty.open(projections)
  await empty.close()
  const readModel = await openReadModel(url, { readOnly: true })
  try {
    await readModel.open(projections)
    await rebuild({ ...deps, readModel }, projections, { onProgress, upTo })
  } finally {
    await readModel.close()
  }
}

const inTemporaryFile = <T>(work: (url: ModelUrl) => Promise<T>): Promise<T> =>
  withTemporaryFolder(join(tmpdir(), 'tokenledger-fold-'), (folder) =>
    work({ readModelUrl: `sqlite:${join(folder, 'fold.db')}` }),
  )
