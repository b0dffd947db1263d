import { existsSync } from 'node:fs'
import type { Refused } from '../../src/application/projection/refusals.ts'
import { countEvents, quickCheck, sizeOf } from '../../src/adapters/sqlite/database/inspect.ts'
import { LARGE_BYTES } from '../../src/adapters/sqlite/database/walWatch.ts'
import { existingPeppers } from '../../src/settings/devSecrets.ts'
import { keyIdsInUse, missingAmong } from '../../src/application/authentication/keysInUse.ts'
import { checkPepperKeys, WrongPepperError } from '../../src/application/authentication/pepperKeys.ts'
import { type Pepper, PLAIN_KEY_ID } from '../../src/domain/credential.ts'
import { readModelFile, shownUrl, sqlitePath } from '../../src/stores/open.ts'
import { refusedIn } from '../../src/application/projection/refusals.ts'
import { withEventStore, withReadModel } from '../cli/stores.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { type Check, fail, ok, warn } from './check.ts'
import { refusedText } from '../cli/damage.ts'
import { bytes, plural } from '../cli/output.ts'

/** The checks of doctor that look into the stores. A service may be running, and nothing here writes. */

const EVENT_STORE_DAMAGED = 'Stop the service and restore the event store from a backup.'
const READ_MODEL_DAMAGED =
  'Stop the service and delete the read model: it is filled again from the event store.'

export async function checkEventStore(settings: Settings): Promise<Check> {
  const path = sqlitePath(settings.eventStoreUrl)
  return withEventStore(settings, async ({ store }) => {
    const started = performance.now()
    const head = await store.head()
    if (path === null) return answered('event store', settings.eventStoreUrl, started, { head })
    const [{ events, signals }, size] = [await countEvents(path), sizeOf(path)]
    const facts = { path, bytes: size.bytes, wal_bytes: size.walBytes, events, signals, head }
    const counts = `${plural(events, 'event')} and ${plural(signals, 'signal')} of processes`
    const detail = `${path}, ${bytes(size.bytes)}, ${counts}, head ${head ?? 'none'}`
    return assessFile('event store', detail, facts)
  })
}

export async function checkReadModel(settings: Settings): Promise<Check> {
  const path = readModelFile(settings.readModelUrl)
  return withReadModel(settings, Date.now, async ({ readModel }) => {
    if (path === null) {
      const started = performance.now()
      await readModel.ping()
      return answered('read model', settings.readModelUrl, started, {})
    }
    const size = sizeOf(path)
    const facts = { path, bytes: size.bytes, wal_bytes: size.walBytes }
    return assessFile('read model', `${path}, ${bytes(size.bytes)}`, facts)
  })
}

export function assessFile(
  name: string,
  detail: string,
  facts: { wal_bytes: number } & Check['facts'],
): Check {
  if (facts.wal_bytes <= LARGE_BYTES) return ok(name, detail, facts)
  return warn(
    name,
    `${detail}, and ${bytes(facts.wal_bytes)} of write-ahead log`,
    'Another program has read the file for long: end it, or the log grows until the disk is full.',
    facts,
  )
}

function answered(name: string, url: string, started: number, facts: Check['facts']): Check {
  const ms = performance.now() - started
  return ok(name, `${shownUrl(url)} answers in ${ms.toFixed(1)} ms`, {
    url: shownUrl(url),
    answer_ms: Number(ms.toFixed(3)),
    ...facts,
  })
}

export const checkEventStoreFile = (settings: Settings): Promise<Check | null> =>
  checkFile('event store integrity', sqlitePath(settings.eventStoreUrl), EVENT_STORE_DAMAGED)

export const checkReadModelFile = (settings: Settings): Promise<Check | null> =>
  checkFile('read model integrity', readModelFile(settings.readModelUrl), READ_MODEL_DAMAGED)

/** Null for a server, and for a file that is missing, which another check reports. */
async function checkFile(name: string, path: string | null, remedy: string): Promise<Check | null> {
  if (path === null || !existsSync(path)) return null
  const problems = await quickCheck(path)
  if (problems.length === 0) return ok(name, 'quick_check found nothing', { problems })
  return fail(name, `quick_check: ${problems.join('; ')}`, remedy, { problems })
}

/** Which events does the read model lack? Null without a read model. */
export async function checkRefusedEvents(settings: Settings): Promise<Check | null> {
  if (!isThere(readModelFile(settings.readModelUrl))) return null
  return withReadModel(settings, Date.now, async ({ readModel }) =>
    assessRefused(await refusedIn(readModel, 5)),
  )
}

export function assessRefused({ events, first }: Refused): Check {
  const title = 'refused events'
  if (events === 0) return ok(title, 'none', { events, first })
  const more = events > first.length ? `; and ${events - first.length} more` : ''
  return warn(
    title,
    `${plural(events, 'event')}: ${first.map(refusedText).join('; ')}${more}`,
    'The tokens that they are of are closed: revoke them, and make others. See docs/read-model.md, on damaged events.',
    { events, first },
  )
}

/** Does each token that is not revoked have its pepper, and are imported ones accepted? Null without a read model. */
export async function checkPeppers(settings: Settings): Promise<Check | null> {
  if (!isThere(readModelFile(settings.readModelUrl))) return null
  const peppers = existingPeppers(settings)
  const wrong = await wrongPeppers(settings, peppers ?? [])
  if (wrong !== null) return fail('peppers', wrong, 'Set TOKEN_PEPPERS to what it was.')
  const configured = new Set(peppers?.map(({ id }) => id))
  const now = new Date().toISOString()
  return withReadModel(settings, Date.now, async ({ readModel }) =>
    assessPeppers(await keyIdsInUse(readModel, now), configured, settings.acceptLegacyTokens),
  )
}

/** What is wrong with keys of which the event store knows another fingerprint; null if nothing is known to be. */
async function wrongPeppers(settings: Settings, peppers: readonly Pepper[]): Promise<string | null> {
  try {
    await withEventStore(settings, ({ store }) => checkPepperKeys(store, peppers))
    return null
  } catch (error) {
    if (error instanceof WrongPepperError) return error.message
    // Another check says what is wrong with the event store.
    return null
  }
}

/** @param inUse the number of tokens that are not revoked, by the ids of the keys with which their hashes were made */
export function assessPeppers(
  inUse: ReadonlyMap<string, number>,
  configured: ReadonlySet<string>,
  acceptsLegacy: boolean,
): Check {
  const missing = missingAmong(inUse.keys(), configured)
  const facts = { in_use: Object.fromEntries(inUse), missing }
  const ids = [...inUse].map(([id, tokens]) =>
    id === PLAIN_KEY_ID ? plural(tokens, 'imported token') : `${id} (${plural(tokens, 'token')})`,
  )
  const found = ids.length === 0 ? 'none in use' : `in use: ${ids.join(', ')}`
  if (missing.length === 0 && inUse.has(PLAIN_KEY_ID) && !acceptsLegacy) {
    const remedy = 'To accept imported tokens set ACCEPT_LEGACY_TOKENS=true; else revoke them.'
    return warn('peppers', `${found}, which are refused`, remedy, facts)
  }
  if (missing.length === 0) return ok('peppers', found, facts)
  const lost = missing.map((id) => `${id} (${plural(inUse.get(id) ?? 0, 'token')} cannot be used)`)
  const remedy = `Put ${missing.join(', ')} back into TOKEN_PEPPERS.`
  return fail('peppers', `missing: ${lost.join(', ')}`, remedy, facts)
}

/** Does the file exist? For a server, connecting will show whether it is there. */
export const isThere = (path: string | null): boolean => path === null || existsSync(path)
