import { type Keys, keysOf } from './devSecrets.ts'
import { type Environment, readSettings, type Reading, type Settings } from './settings.ts'

/** Everything that can be configured, complete: read once, and handed on. */
export interface Configuration {
  settings: Settings
  keys: Keys
}

/**
 * The settings with their keys. Keys that are missing are made where that is safe.
 * @throws SettingsError with every problem; Error where the file of the development keys is damaged
 */
export function configurationOf(env: Environment, reading: Reading): Configuration {
  const settings = readSettings(env, reading)
  return { settings, keys: keysOf(settings) }
}
