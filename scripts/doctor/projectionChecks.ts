import type { Projection } from '../../projections/projection.ts'
import { compareWithLog, type Kinship } from '../../src/application/logIdentity/sameLog.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { readModelFile, sqlitePath } from '../../src/stores/open.ts'
import { countBetween, lagText, type ProjectionLag, settledCheckpoint } from '../cli/projectionLag.ts'
import { withEventStore, withReadModel } from '../cli/stores.ts'
import { type Check, fail, ok, warn } from './check.ts'
import { isThere } from './storeChecks.ts'

/** One check for each projection: how far is it behind the log? Null unless both stores exist. */
export async function checkProjections(settings: Settings): Promise<Check[] | null> {
  if (!isThere(sqlitePath(settings.eventStoreUrl)) || !isThere(readModelFile(settings.readModelUrl)))
    return null
  return withEventStore(settings, ({ store }) =>
    withReadModel(settings, Date.now, async ({ readModel, projections }) => {
      const head = await store.head()
      const checks: Check[] = []
      const foreign: ForeignProjection[] = []
      for (const projection of projections) {
        const found = await checkProjection(projection, head, store, readModel)
        if ('why' in found) foreign.push(found)
        else checks.push(found)
      }
      return foreign.length === 0 ? checks : [assessForeign(foreign), ...checks]
    }),
  )
}

/** @param head the end of the log, read before */
async function checkProjection(
  projection: Projection,
  head: string | null,
  store: EventStore,
  readModel: ReadModel,
): Promise<Check | ForeignProjection> {
  const checkpoint = await settledCheckpoint(readModel, projection, head)
  const at = await readModel.checkpoint(projection)
  const why = at === null ? 'same' : await compareWithLog(store, at)
  if (at !== null && why !== 'same') return { projection, checkpoint: at.position, why }
  return assessLag(projection, { checkpoint, lag: await countBetween(store, checkpoint, head) })
}

/** A projection that this log has not filled. */
export interface ForeignProjection {
  projection: Pick<Projection, 'name' | 'version'>
  checkpoint: string
  why: Exclude<Kinship, 'same'>
}

const WHY = { ahead: 'past the end of the log', other: 'where the log has another event' } as const

/** All of them have one cause, and are mended together. */
export function assessForeign(found: readonly ForeignProjection[]): Check {
  const places = new Set(found.map(({ checkpoint, why }) => `at ${checkpoint}, ${WHY[why]}`))
  const projections = found.map(({ projection: { name, version }, checkpoint }) => ({
    projection: name,
    version,
    checkpoint,
  }))
  const names = projections.map(({ projection, version }) => `${projection} v${version}`)
  return fail(
    'projections',
    `${[...places].join('; ')}: ${names.join(', ')}`,
    'EVENT_STORE_URL or READ_MODEL_URL names another store than before, or the log was reset or restored: mend the setting or bring the right log back; to go on from this log, stop the service and delete the read model.',
    { projections },
  )
}

export function assessLag(
  { name, version }: Pick<Projection, 'name' | 'version'>,
  found: ProjectionLag,
): Check {
  const { checkpoint, lag } = found
  const title = `projection ${name} v${version}`
  const facts = { projection: name, version, checkpoint, lag_events: lag }
  if (lag === 0) return ok(title, lagText(found), facts)
  return warn(title, lagText(found), 'The service catches up as it runs; if it does not, see its log.', facts)
}
