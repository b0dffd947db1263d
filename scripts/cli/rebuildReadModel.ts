import { projections } from '../../projections/index.ts'
import type { Logger } from '../../src/application/ports/telemetry.ts'
import { rebuild, type RebuildProgress } from '../../src/application/projection/rebuild.ts'
import { assertSameLog, isOf } from '../../src/application/logIdentity/sameLog.ts'
import { checkpointsOf } from '../../src/application/readModel/checkpoints.ts'
import { withReadAhead } from '../../src/stores/readAhead.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { withEventStore, type ModelReads, withReadModel } from './stores.ts'

/** There is no projection with that name. */
export class UnknownProjectionError extends Error {
  override name = 'UnknownProjectionError'

  constructor(names: readonly string[]) {
    super(`There is no such projection: there are ${names.join(', ')}.`)
  }
}

export interface Rebuilt {
  projections: string[]
  /** How many events this run has read. */
  events: number
}

interface Rebuilding {
  log: Logger
  onProgress: (progress: RebuildProgress, end: string) => void
  /** Called before anything else if a service may be running. */
  giveWay: () => void
  signal: AbortSignal
}

/**
 * Fills the next generation of some projections beside the live one, and switches to it. A service may be running
 * meanwhile.
 * @param name the name of one projection; undefined for all
 * @throws UnknownProjectionError; RebuildUnderWayError; others as `withReadModel`
 */
export async function rebuildReadModel(
  settings: Settings,
  name: string | undefined,
  { log, onProgress, ...how }: Rebuilding,
): Promise<Rebuilt> {
  const wanted = projections.filter((one) => name === undefined || one.name === name)
  if (wanted.length === 0) throw new UnknownProjectionError(projections.map((one) => one.name))
  return withEventStore(settings, ({ store }) => {
    const rebuildBeside = async ({ readModel }: ModelReads): Promise<Rebuilt> => {
      await assertSameLog(store, await checkpointsOf(readModel, projections), readModel.remedy)
      const end = (await store.head()) ?? ''
      const telemetry = { log, damaged() {} }
      const reportProgress = (progress: RebuildProgress): void => onProgress(progress, end)
      return withReadAhead(settings, async (read) => {
        const deps = { read, readModel, telemetry, isOfLog: isOf(store) }
        const events = await rebuild(deps, wanted, { onProgress: reportProgress, ...how })
        return { projections: wanted.map((one) => one.name), events }
      })
    }
    return withReadModel(settings, Date.now, rebuildBeside, log)
  })
}
