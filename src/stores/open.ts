import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventStore } from '../application/ports/eventStore.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import type { ReadModel } from '../application/ports/readModel.ts'
import { callMsOf } from '../application/eventLog/patience.ts'
import {
  ConflictError,
  StoreInUseError,
  StoreMisconfiguredError,
  StoreUnavailableError,
  UnknownOutcomeError,
} from '../application/ports/errors.ts'
import { BusyError } from '../adapters/sqlite/database/errors.ts'
import { generationsOf } from '../adapters/sqlite/documents/generations.ts'
import type { NewEvent } from '../domain/events.ts'
import {
  DELIVERY_STREAM,
  HEARTBEAT_STREAM,
  LEASE_STREAM,
  tokenStream,
  USAGE_STREAM,
} from '../domain/streams.ts'
import type { Settings } from '../settings/settings.ts'

/**
 * Opens the stores that the settings name. A technology is loaded only if a URL names it, so that users of SQLite do
 * not load the others.
 */

interface Options {
  /** For code that only reads: takes no lock, makes nothing, writes nothing. */
  readOnly?: boolean
  /** Gets warnings about files that cannot be written. */
  log?: Logger
  /** How long one call of a server may take, in milliseconds. Default: a share of the time that a change may wait. */
  callMs?: number
}

export type EventStoreSettings = Pick<
  Settings,
  'eventStoreUrl' | 'eventStoreTimeoutMs' | 'usageRetentionDays'
>

const DAY_SECONDS = 86_400
/** How long a start waits for a server, or for a file that another program has locked, in milliseconds. */
const PATIENCE_MS = 10_000
const PAUSE_MS = 500
/**
 * A server drops events by their age alone. So it keeps them this much longer, to give a process that was down or
 * behind the time to roll them up.
 */
export const MARGIN_DAYS = 7
/**
 * Of signals only the newest count: a heartbeat is followed by the next, a question by its answer, and how far a delivery
 * has come by how far it came later.
 */
const SIGNAL_LIMITS = [
  { prefix: HEARTBEAT_STREAM, keeps: { maxCount: 1 } },
  { prefix: LEASE_STREAM, keeps: { maxCount: 100 } },
  { prefix: DELIVERY_STREAM, keeps: { maxCount: 20 } },
]

/** @throws StoreInUseError, StoreUnavailableError, DamagedError; so do later calls of a server */
export async function openEventStore(
  settings: EventStoreSettings,
  options: Options = {},
): Promise<EventStore> {
  const { eventStoreUrl: url, usageRetentionDays: days } = settings
  const path = sqlitePath(url)
  if (path !== null) {
    const { openSqliteEventStore } = await import('../adapters/sqlite/eventStore.ts')
    return openSqliteEventStore(path, options)
  }
  const { openEventStoreDb } = await import('../adapters/eventstoredb/eventStore.ts')
  const usage =
    days === null ? [] : [{ prefix: USAGE_STREAM, keeps: { maxAge: (days + MARGIN_DAYS) * DAY_SECONDS } }]
  const [called, callMs] = [`EVENT_STORE_URL ${shownUrl(url)}`, callMsOf(settings.eventStoreTimeoutMs)]
  return openEventStoreDb(url, { called, callMs, ...options, limits: [...SIGNAL_LIMITS, ...usage] })
}

/** @throws StoreInUseError, StoreUnavailableError, DamagedError */
export async function openReadModel(
  { readModelUrl: url }: Pick<Settings, 'readModelUrl'>,
  options: Options = {},
): Promise<ReadModel> {
  const path = sqlitePath(url)
  if (path !== null) {
    const { openSqliteReadModel } = await import('../adapters/sqlite/readModel.ts')
    return openSqliteReadModel(path, options)
  }
  const { openMongoReadModel } = await import('../adapters/mongodb/readModel.ts')
  return openMongoReadModel(url, { called: `READ_MODEL_URL ${shownUrl(url)}`, ...options })
}

/**
 * Opens both stores, for a service.
 * @throws StoreInUseError, StoreUnavailableError, DamagedError. The message names the setting of a store that cannot be
 *   reached
 */
export async function openStores(
  settings: Settings,
  log: Logger,
): Promise<{ store: EventStore; readModel: ReadModel }> {
  const store = await patiently('EVENT_STORE_URL', settings.eventStoreUrl, log, async () => {
    const opened = await openEventStore(settings, { log })
    return answering(
      opened,
      opened.head().then(() => assertWritable(opened, settings.eventStoreUrl)),
    )
  })
  try {
    const readModel = await patiently('READ_MODEL_URL', settings.readModelUrl, log, async () => {
      const opened = await openReadModel(settings, { log })
      return answering(opened, opened.ping())
    })
    return { store, readModel }
  } catch (error) {
    await store.close()
    throw error
  }
}

/**
 * Asks a server whether this user may append, with an append that cannot take effect: its stream would have to have an
 * event already. Otherwise the first change would show it.
 */
async function assertWritable(store: EventStore, url: string): Promise<void> {
  if (sqlitePath(url) !== null) return
  const event = { id: randomUUID(), type: 'Probe', data: {}, metadata: {} } as unknown as NewEvent
  await store.append(tokenStream(randomUUID()), 0, [event]).catch((error: unknown) => {
    if (!(error instanceof ConflictError)) throw error
  })
}

async function answering<T extends { close(): Promise<void> }>(
  opened: T,
  answer: Promise<unknown>,
): Promise<T> {
  try {
    await answer
    return opened
  } catch (error) {
    await opened.close()
    throw error
  }
}

/**
 * Waits, since a server may still be starting, and a file may be locked for a while. The final error names the setting.
 */
async function patiently<T>(setting: string, url: string, log: Logger, open: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS
  let said = ''
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (error instanceof StoreInUseError && sqlitePath(url) !== null) throw ofAnother(error, setting)
      // What lasts is said at once: it names the setting already.
      if (!isOutage(error)) throw error
      const failure = new StoreUnavailableError(`${setting} ${shownUrl(url)}: ${error.message}`)
      const mayPass = sqlitePath(url) === null || error instanceof BusyError
      if (!mayPass || performance.now() >= giveUpAt) throw failure
      if (failure.message !== said) log.warn({ reason: failure.message }, 'a store cannot be opened yet')
      said = failure.message
      await sleep(PAUSE_MS)
    }
  }
}

/**
 * Mostly the same service was started twice. But it may be one that has the same event store and should have a read
 * model of its own.
 */
function ofAnother(error: StoreInUseError, setting: string): StoreInUseError {
  error.message += `. Is the service running already? A process beside it needs a file of its own in ${setting}`
  return error
}

const isOutage = (error: unknown): error is Error =>
  (error instanceof StoreUnavailableError && !(error instanceof StoreMisconfiguredError)) ||
  error instanceof UnknownOutcomeError

const SQLITE = 'sqlite:'

/** The file that a store's URL names; null for a server. */
export const sqlitePath = (url: string): string | null =>
  url.startsWith(SQLITE) ? url.slice(SQLITE.length) : null

/** The file that the read model is in now; null for a server. After a rebuild it is another file than the URL names. */
export function readModelFile(url: string): string | null {
  const path = sqlitePath(url)
  return path === null ? null : generationsOf(path).liveFile()
}

/** A store's URL without user, password and options: what may be shown and logged. */
export const shownUrl = (url: string): string => url.replace(/\/\/[^/?]*@/, '//').replace(/\?.*$/, '')
