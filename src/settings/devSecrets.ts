import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import type { JwtKeys } from '../adapters/jwt/verifier.ts'
import { type Pepper, parsePeppers } from '../domain/credential.ts'
import type { Settings } from './settings.ts'
import { makeWholeFile } from './wholeNewFile.ts'

/** Keys for a newcomer's first minute, kept so that tokens survive a restart. Never made in production. */
interface DevSecrets {
  jwtSecret: string
  peppers: string
}

export const DEV_SECRETS_FILE = 'data/dev-secrets.json'

export interface Keys {
  jwt: JwtKeys
  peppers: readonly Pepper[]
  /** The secret that development JWTs are signed with, where the keys are our own. */
  developmentSecret: string | null
}

/** The keys of the settings, with development ones in place of those that are missing. */
export function keysOf(settings: Settings, file = DEV_SECRETS_FILE): Keys {
  if (settings.jwtKeys && settings.peppers) {
    return { jwt: settings.jwtKeys, peppers: settings.peppers, developmentSecret: null }
  }
  const dev = loadOrMake(file)
  return {
    jwt: settings.jwtKeys ?? { secret: dev.jwtSecret },
    peppers: settings.peppers ?? parsePeppers(dev.peppers),
    developmentSecret: settings.jwtKeys ? null : dev.jwtSecret,
  }
}

/**
 * The peppers of the settings, else the development ones where they were made before; null where there are none.
 * Makes and changes nothing, for whoever only looks.
 */
export function existingPeppers(settings: Settings, file = DEV_SECRETS_FILE): readonly Pepper[] | null {
  if (settings.peppers) return settings.peppers
  if (settings.production || !existsSync(file)) return null
  return parsePeppers(parse(readFileSync(file, 'utf8'), file).peppers)
}

function loadOrMake(file: string): DevSecrets {
  const made: DevSecrets = {
    jwtSecret: randomBytes(32).toString('base64url'),
    peppers: `dev:${randomBytes(32).toString('base64')}`,
  }
  if (makeWholeFile(file, `${JSON.stringify(made, null, 2)}\n`)) return made
  chmodSync(file, 0o600)
  return parse(readFileSync(file, 'utf8'), file)
}

function parse(text: string, file: string): DevSecrets {
  try {
    const { jwtSecret, peppers } = JSON.parse(text)
    if (typeof jwtSecret === 'string' && typeof peppers === 'string') return { jwtSecret, peppers }
  } catch {
    // Said below, without the text.
  }
  throw new Error(
    `${file} is damaged. Tokens made with it cannot be verified without it: restore it, or delete it.`,
  )
}
