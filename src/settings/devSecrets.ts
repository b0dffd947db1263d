import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type JwtKeys, keyFinder } from '../adapters/jwt/verifier.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import { type Pepper, parsePeppers } from '../domain/credential.ts'
import { isInMemory, isOnThisMachine } from './parsers.ts'
import { type Settings, SettingsError } from './settings.ts'
import { makeWholeFile } from './wholeNewFile.ts'

/**
 * Keys for the first minutes with the product. They are kept, so that tokens survive a restart, and never made in
 * production.
 */
interface DevSecrets {
  jwtSecret: string
  peppers: string
}

export const DEV_SECRETS_FILE = 'data/dev-secrets.json'

export interface Keys {
  jwt: JwtKeys
  peppers: readonly Pepper[]
  /** The secret that signs development JWTs; null if a JWT key is configured. */
  developmentSecret: string | null
}

/**
 * The keys of the settings, with development keys in place of those that are missing. For a store in memory, they are
 * kept in memory as well.
 */
export function keysOf(settings: Settings, file = DEV_SECRETS_FILE): Keys {
  if (settings.jwtKeys && settings.peppers) {
    return { jwt: settings.jwtKeys, peppers: settings.peppers, developmentSecret: null }
  }
  const dev = isInMemory(settings.eventStoreUrl) ? make() : loadOrMake(file)
  return {
    jwt: settings.jwtKeys ?? { secret: dev.jwtSecret },
    peppers: settings.peppers ?? parsePeppers(dev.peppers),
    developmentSecret: settings.jwtKeys ? null : dev.jwtSecret,
  }
}

/** To be said at each start with a pepper of our own making: whoever loses it loses all tokens. */
export function warnOfMadePeppers(settings: Settings, log: Pick<Logger, 'warn'>): void {
  if (settings.peppers || isInMemory(settings.eventStoreUrl)) return
  log.warn(
    { file: resolve(DEV_SECRETS_FILE) },
    'TOKEN_PEPPERS is not set: tokens are hashed with a pepper that was made here. Without this file, or in another ' +
      'folder, all of them are refused. Set TOKEN_PEPPERS before anybody depends on a token',
  )
}

/**
 * The peppers of the settings, else the development ones where they were made before; null where there are none.
 * Makes and changes nothing, for whoever only looks.
 */
export function existingPeppers(settings: Settings, file = DEV_SECRETS_FILE): readonly Pepper[] | null {
  if (settings.peppers) return settings.peppers
  const isNear = [settings.eventStoreUrl, settings.readModelUrl].every(isOnThisMachine)
  if (settings.production || !isNear || !existsSync(file)) return null
  return parsePeppers(parse(readFileSync(file, 'utf8'), file).peppers)
}

const make = (): DevSecrets => ({
  jwtSecret: randomBytes(32).toString('base64url'),
  peppers: `dev:${randomBytes(32).toString('base64')}`,
})

/** @throws SettingsError if the file can be neither made nor read */
function loadOrMake(file: string): DevSecrets {
  const made = make()
  let text: string
  try {
    if (makeWholeFile(file, `${JSON.stringify(made, null, 2)}\n`)) return made
    chmodSync(file, 0o600)
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new SettingsError([
      `JWT_SECRET and TOKEN_PEPPERS are not both set, and ${file} can be neither made nor read (${code})`,
    ])
  }
  return parse(text, file)
}

function parse(text: string, file: string): DevSecrets {
  try {
    const { jwtSecret, peppers } = JSON.parse(text)
    if (typeof jwtSecret === 'string' && typeof peppers === 'string') {
      parsePeppers(peppers)
      keyFinder({ secret: jwtSecret })
      return { jwtSecret, peppers }
    }
  } catch {
    // Said below, without the text.
  }
  throw new Error(
    `${file} is damaged. Tokens made with it cannot be verified without it: restore it, or delete it.`,
  )
}
