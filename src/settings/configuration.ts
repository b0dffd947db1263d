import { assertPeppersMayBeMade, type Keys, keysOf } from './devSecrets.ts'
import type { Settings } from './settings.ts'

/** Everything that can be configured, complete: read once, and handed on. */
export interface Configuration {
  settings: Settings
  keys: Keys
}

/**
 * The settings with their keys. Keys that are missing are made where that is safe.
 * @param isNear by the URL of a store: is it near enough for a pepper that only this folder knows?
 * @throws SettingsError naming TOKEN_PEPPERS; Error where the file of the development keys is damaged
 */
export function configurationOf(settings: Settings, isNear: (url: string) => boolean): Configuration {
  assertPeppersMayBeMade(settings, isNear)
  return { settings, keys: keysOf(settings) }
}
