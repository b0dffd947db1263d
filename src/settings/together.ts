import { resolve } from 'node:path'
import { isIssuer, type JwtKeys } from '../adapters/jwt/verifier.ts'
import { JWT_SOURCES } from './jwtKeys.ts'
import { isFile, isInMemory } from './parsers.ts'

/** The settings that have to fit each other. */
interface Related {
  eventStoreUrl: string
  readModelUrl: string
  jwtKeys: JwtKeys | null
  jwtAudience: string | undefined
  peppers: object | null
  webhookUrl: string | null
  webhookSecrets: object | null
  port: number
  metricsPort: number | null
  production: boolean
}

type Key = keyof Related

interface Told {
  env: Record<string, string | undefined>
  /** Of others nobody knows what they were meant to be. */
  canBeRead: (...keys: Key[]) => boolean
  /** Was it given as an option of the library? */
  isOption: (key: Key) => boolean
  /** Could the settings be given as options, too? */
  isLibrary: boolean
  /** Is a store, by its URL, near enough for a pepper that is made here? */
  isNear: (url: string) => boolean
}

type Named = Exclude<Key, 'peppers' | 'port' | 'metricsPort' | 'production'>

const NAMES: Record<Named, { option: string; variable: string }> = {
  eventStoreUrl: { option: 'eventStoreUrl', variable: 'EVENT_STORE_URL' },
  readModelUrl: { option: 'readModelUrl', variable: 'READ_MODEL_URL' },
  jwtKeys: { option: 'jwt', variable: JWT_SOURCES.join(' or ') },
  jwtAudience: { option: 'jwt.audience', variable: 'JWT_AUDIENCE' },
  webhookUrl: { option: 'webhookUrl', variable: 'WEBHOOK_URL' },
  webhookSecrets: { option: 'webhookSecret', variable: 'WEBHOOK_SECRET' },
}

/** What whoever set them calls them. One that is missing beside an option is missed as an option. */
function namesOf({ env, isOption }: Told, ...keys: Named[]): string[] {
  const areOptions = keys.some(isOption)
  return keys.map((key) => {
    const { option, variable } = NAMES[key]
    return isOption(key) || (areOptions && !env[variable]) ? option : variable
  })
}

/** What is wrong with settings beside each other, and what is missing in production or beside a server. */
export function problemsTogether(settings: Related, told: Told): string[] {
  const { env, canBeRead, isLibrary } = told
  const problems: string[] = []
  const { eventStoreUrl: events, readModelUrl: model } = settings
  const isOneFile = isFile(events) && isFile(model) && !isInMemory(events) && fileOf(events) === fileOf(model)
  if (isOneFile && canBeRead('eventStoreUrl', 'readModelUrl'))
    problems.push(
      `${namesOf(told, 'eventStoreUrl', 'readModelUrl').join(' and ')} must not name the same file`,
    )
  // A library does not listen, and these variables may be its host's.
  const isOnePort = !isLibrary && settings.port !== 0 && settings.port === settings.metricsPort
  if (isOnePort && canBeRead('port', 'metricsPort'))
    problems.push('METRICS_PORT must be another port than PORT, or not be set')
  const isHalf = (settings.webhookUrl === null) !== (settings.webhookSecrets === null)
  if (isHalf && canBeRead('webhookUrl', 'webhookSecrets'))
    problems.push(`${namesOf(told, 'webhookUrl', 'webhookSecrets').join(' and ')} must be set together`)
  const missing = (option: string, variable: string): string =>
    isLibrary ? `${option} (or ${variable})` : variable
  if (settings.production) {
    if (!settings.jwtKeys && canBeRead('jwtKeys') && !JWT_SOURCES.some((name) => env[name]))
      problems.push(`${missing('jwt', JWT_SOURCES.join(' or '))} must be set in production`)
    if (settings.jwtKeys && isIssuer(settings.jwtKeys) && settings.jwtAudience === undefined) {
      const [, name] = namesOf(told, 'jwtKeys', 'jwtAudience')
      problems.push(
        `${name} must be set in production beside an issuer, which has keys for other services, too`,
      )
    }
  }
  if (settings.peppers || !canBeRead('peppers')) return problems
  const why = settings.production ? ' in production' : whyNoPepper(settings, told)
  if (why !== null) problems.push(`${missing('peppers', 'TOKEN_PEPPERS')} must be set${why}`)
  return problems
}

/**
 * A pepper may be made only if the stores are as near as the file that keeps it: whoever shares a store needs the same
 * peppers, and so does whoever opens it again.
 */
function whyNoPepper(settings: Related, told: Told): string | null {
  const far = (['eventStoreUrl', 'readModelUrl'] as const).filter((key) => !told.isNear(settings[key]))
  if (far.length === 0) return null
  const stores = namesOf(told, ...far).join(' and ')
  return (
    `, since ${stores} may be shared with others: a pepper that is made here is known here alone. One is made by: ` +
    "node -p \"'k1:' + crypto.randomBytes(32).toString('base64')\""
  )
}

const fileOf = (url: string): string => resolve(url.slice('sqlite:'.length))
