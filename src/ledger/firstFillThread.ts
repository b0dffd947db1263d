import { parentPort, workerData } from 'node:worker_threads'
import { projections } from '../../projections/index.ts'
import { isOf } from '../application/logIdentity/sameLog.ts'
import { rebuild } from '../application/projection/rebuild.ts'
import { createErrorLog } from '../adapters/telemetry/log.ts'
import { openEventStore, openReadModel } from '../stores/open.ts'
import { withReadAhead } from '../stores/readAhead.ts'
import type { Filling } from './firstFill.ts'

const { settings, names } = workerData as Filling

const log = createErrorLog()
const store = await openEventStore(settings, { readOnly: true })
const readModel = await openReadModel(settings, { readOnly: true, log })
await readModel.open(projections)
await withReadAhead(settings, (read) =>
  rebuild(
    { read, readModel, telemetry: { log, damaged() {} }, isOfLog: isOf(store) },
    projections.filter(({ name }) => names.includes(name)),
    { onProgress: (progress) => parentPort?.postMessage(progress, []) },
  ),
)
await Promise.all([readModel.close(), store.close()])
// This ends the thread, whatever a store has left behind.
process.exit()
