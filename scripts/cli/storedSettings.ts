import { isInMemory } from '../../src/settings/parsers.ts'
import { readSettings, type Settings, SettingsError } from '../../src/settings/settings.ts'
import type { Io } from './command.ts'

/**
 * The settings, for a command about stores that a service has as well.
 * @throws SettingsError also for a store that is in the memory of the process that opened it
 */
export function storedSettings({ env }: Pick<Io, 'env'>): Readonly<Settings> {
  const settings = readSettings(env)
  assertStored(settings)
  return settings
}

/** @throws SettingsError */
export function assertStored({ eventStoreUrl, readModelUrl }: Settings): void {
  const urls = { EVENT_STORE_URL: eventStoreUrl, READ_MODEL_URL: readModelUrl }
  const problems = Object.entries(urls)
    .filter(([, url]) => isInMemory(url))
    .map(
      ([name]) =>
        `${name} is sqlite::memory:, which no other process can see: there is nothing for a command`,
    )
  if (problems.length > 0) throw new SettingsError(problems)
}
