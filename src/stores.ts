import type { EventStore, ReadModel } from './application/ports.ts'
import { liveFile } from './adapters/sqlite/generations.ts'
import { USAGE_STREAM } from './domain/events.ts'
import type { Settings } from './settings.ts'

/**
 * Opens the stores that the settings name. A technology is loaded when a URL names it, so that whoever stays with
 * SQLite does not carry the others along.
 */

interface Options {
  /** For those who only look: takes no lock, makes nothing, writes nothing. */
  readOnly?: boolean
}

type EventStoreSettings = Pick<Settings, 'eventStoreUrl' | 'usageRetentionDays'>

const DAY_SECONDS = 86_400

/** @throws StoreInUseError, StoreUnavailableError, DamagedError */
export async function openEventStore(
  settings: EventStoreSettings,
  options: Options = {},
): Promise<EventStore> {
  const { eventStoreUrl: url, usageRetentionDays: days } = settings
  const path = sqlitePath(url)
  if (path !== null) {
    const { openSqliteEventStore } = await import('./adapters/sqlite/event-store.ts')
    return openSqliteEventStore(path, options)
  }
  const { openEventStoreDb } = await import('./adapters/eventstoredb/event-store.ts')
  const maxAge = days === null ? {} : { maxAge: { prefix: USAGE_STREAM, seconds: days * DAY_SECONDS } }
  return openEventStoreDb(url, { ...options, ...maxAge })
}

/** @throws StoreInUseError, StoreUnavailableError, DamagedError */
export async function openReadModel(
  { readModelUrl: url }: Pick<Settings, 'readModelUrl'>,
  options: Options = {},
): Promise<ReadModel> {
  const path = sqlitePath(url)
  if (path !== null) {
    const { openSqliteReadModel } = await import('./adapters/sqlite/read-model.ts')
    return openSqliteReadModel(path, options)
  }
  const { openMongoReadModel } = await import('./adapters/mongodb/read-model.ts')
  return openMongoReadModel(url, options)
}

const SQLITE = 'sqlite:'

/** The file that a store's URL names, or null for a server's. */
export const sqlitePath = (url: string): string | null =>
  url.startsWith(SQLITE) ? url.slice(SQLITE.length) : null

/** The file that a read model is in now, or null for a server's: a rebuild leaves it in another one than its URL names. */
export function readModelFile(url: string): string | null {
  const path = sqlitePath(url)
  return path === null ? null : liveFile(path)
}

/** A store's URL without user, password and options: what may be shown and logged. */
export const shownUrl = (url: string): string => url.replace(/\/\/[^/?]*@/, '//').replace(/\?.*$/, '')
