import { isIssuer, LEEWAY_SECONDS, type JwtKeys, type JwtChecks } from '../adapters/jwt/verifier.ts'
import { type Block, parseBlocks } from '../domain/address.ts'
import { type Pepper, parsePeppers, PREFIX_PATTERN } from '../domain/credential.ts'
import type { CatalogueEntry } from '../domain/scopes.ts'
import { parseCatalogue } from './catalogue.ts'
import { readJwtKeys } from './jwtKeys.ts'
import { type OauthClients, readOauthClients } from './oauthClients.ts'
import { readLeakKeysFile } from './leakKeys.ts'
import { parseOrigins, parseReturnUrls } from './origins.ts'
import {
  eventStoreUrl,
  integer,
  matching,
  oneOf,
  type Parse,
  publicUrl,
  readModelUrl,
  scopeName,
  secureUrl,
  tokenHeader,
  trueOrFalse,
} from './parsers.ts'
import { problemsTogether } from './together.ts'
import { parseWebhookSecrets } from './webhooks.ts'

/** The settings that the environment gives, read once. */
export interface Settings {
  host: string
  port: number
  eventStoreUrl: string
  readModelUrl: string
  /** Do other processes write to the event store, too? In a SQLite file no other can. */
  eventStoreShared: boolean
  /** How long a change waits for the event store, in milliseconds. */
  eventStoreTimeoutMs: number
  /** Null where no key is configured. */
  jwtKeys: JwtKeys | null
  jwtIssuer: string | undefined
  jwtAudience: string | undefined
  jwtAccountClaim: string
  /** For `exp` and `nbf`, in seconds. */
  jwtLeewaySeconds: number
  tokenPrefix: string
  apiTokenHeader: string
  acceptLegacyTokens: boolean
  /** The first one signs, all of them verify. Null if none is configured. */
  peppers: readonly Pepper[] | null
  tokenMaxLifetimeDays: number | null
  maxTokensPerAccount: number
  /** Which scopes exist. Null: any well-formed name is a scope. */
  scopes: readonly CatalogueEntry[] | null
  /** The scope of a JWT that makes its bearer an operator. Null: none does. */
  operatorScope: string | null
  /** If set, nobody can give out scopes that they are known to lack. */
  scopeCeiling: boolean
  usageFlushMs: number
  /** For how many days usage events are kept. Null: for ever. */
  usageRetentionDays: number | null
  auditMode: 'buffered' | 'strict'
  /** The file with the key that signs checkpoints. Commands that need it read it; the service never does. */
  auditKeyFile: string | null
  rateLimitFailuresPerMinute: number
  rateLimitWritesPerMinute: number
  /** Origins whose pages may act for whoever is logged in to the host's app. Only the library has this setting. */
  trustedOrigins: readonly string[]
  trustProxyHops: number
  /** Only peers with one of these addresses are believed to be proxies. Null: every peer is. */
  trustProxyFrom: readonly Block[] | null
  /** Which family of headers names the request that a proxy asks about. Null: no such header is believed. */
  verifyRequestHeaders: VerifyRequestHeaders | null
  /** Origins whose pages may call the management routes. Null: none. */
  corsOrigins: readonly string[] | null
  /** Where webhooks are sent, and the secrets that sign them. Null: nowhere. */
  webhookUrl: string | null
  webhookSecrets: readonly Uint8Array[] | null
  /** How long the service keeps an idle connection open, in milliseconds. */
  keepAliveMs: number
  /** How long the service continues to serve after it was asked to stop, with readiness red, in milliseconds. */
  shutdownDelayMs: number
  /** Where callers see the service, without a slash at its end. Null: nobody has said it. */
  publicUrl: string | null
  /** URLs at or below which the page may send people back. Null: nowhere. */
  portalReturnUrls: readonly string[] | null
  /** The hash of each OAuth client's secret, by its id. Null: there are no such clients. */
  oauthClients: OauthClients | null
  /** What becomes of tokens whose secrets were found in public. Null: nobody can report any. */
  leakAction: 'revoke' | 'notify' | null
  /** Where the reporter of leaks publishes its keys. */
  leakKeysUrl: string
  /** The same document from a file, in place of the URL. Null: the URL is asked. */
  leakKeys: unknown
  logLevel: LogLevel
  /** Null: `pretty` on a terminal outside production, and otherwise `json`. */
  logFormat: LogFormat | null
  /** The port of its own on which metrics are served. Null: they are served beside everything else. */
  metricsPort: number | null
  production: boolean
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
type LogLevel = (typeof LOG_LEVELS)[number]

const LOG_FORMATS = ['json', 'pretty'] as const
type LogFormat = (typeof LOG_FORMATS)[number]

const VERIFY_REQUEST_HEADERS = ['x-original', 'x-forwarded'] as const
/** `X-Original-Method` and `X-Original-URI` (nginx), or `X-Forwarded-Method` and `X-Forwarded-Uri` (Traefik, Caddy). */
export type VerifyRequestHeaders = (typeof VERIFY_REQUEST_HEADERS)[number]

const GITHUB_KEYS = 'https://api.github.com/meta/public_keys/secret_scanning'
const OPERATOR_SCOPE = 'tokenledger:operator'

/** Everything that is wrong with the settings. It names settings, and never their values. */
export class SettingsError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`The settings are not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`)
    this.name = 'SettingsError'
    this.problems = problems
  }
}

export type Environment = Record<string, string | undefined>

/** Settings that no text can say. */
type Made = 'jwtKeys' | 'trustedOrigins' | 'production'

/** Options of the library: settings, or the text or number that the environment would have. */
export type Given = {
  [K in keyof Settings]?: K extends Made ? Settings[K] : Settings[K] | string | number
}

/** Names of options, where they are other than those of their settings. */
export const OPTION_NAMES: Readonly<Partial<Record<keyof Settings, string>>> = {
  jwtKeys: 'jwt',
  jwtIssuer: 'jwt.issuer',
  jwtAudience: 'jwt.audience',
  jwtAccountClaim: 'jwt.accountClaim',
  jwtLeewaySeconds: 'jwt.leewaySeconds',
  oauthClients: 'oauthClientsFile',
  leakKeys: 'leakKeysFile',
  webhookSecrets: 'webhookSecret',
}

export interface Reading {
  /** Options of the library, which replace what the environment says. Left out: the service reads its settings. */
  given?: Given
  /** What is wrong with the options already. */
  problems?: readonly string[]
  /** Options of which nobody knows what they were meant to be. They are among the problems. */
  unreadable?: ReadonlySet<keyof Settings>
  /** Is a store, by its URL, near enough for a pepper that is made here? Left out: no pepper will be made. */
  isNear?: (url: string) => boolean
}

/**
 * Reads the environment.
 * @throws SettingsError with every problem at once
 */
export function readSettings(env: Environment, reading: Reading = {}): Readonly<Settings> {
  const { given = {} } = reading
  const problems = [...(reading.problems ?? [])]
  const unreadable = new Set(reading.unreadable)

  function read<K extends Exclude<keyof Settings, Made>>(
    key: K,
    name: string,
    fallback: Settings[K],
    parse: Parse<Settings[K]>,
  ): Settings[K] {
    const option: unknown = given[key]
    // An object was checked where it was made.
    const isText = typeof option === 'string' || typeof option === 'number'
    if (option !== undefined && !isText) return option as Settings[K]
    const text = isText ? String(option) : env[name]
    if (unreadable.has(key) || text === undefined || (text === '' && !isText)) return fallback
    try {
      return parse(text)
    } catch (error) {
      problems.push(`${isText ? (OPTION_NAMES[key] ?? key) : name} ${(error as Error).message}`)
      unreadable.add(key)
      return fallback
    }
  }

  const production = given.production ?? env.NODE_ENV === 'production'
  const settings: Settings = {
    host: read('host', 'HOST', '127.0.0.1', matching(/^[^\s/]+$/, 'a host name or an address')),
    port: read('port', 'PORT', 3000, integer(0, 65_535)),
    eventStoreUrl: read('eventStoreUrl', 'EVENT_STORE_URL', 'sqlite:./data/events.db', eventStoreUrl),
    readModelUrl: read('readModelUrl', 'READ_MODEL_URL', 'sqlite:./data/read-model.db', readModelUrl),
    eventStoreShared: read('eventStoreShared', 'EVENT_STORE_SHARED', true, trueOrFalse),
    eventStoreTimeoutMs: read(
      'eventStoreTimeoutMs',
      'EVENT_STORE_TIMEOUT_MS',
      10_000,
      integer(1_000, 60_000),
    ),
    jwtKeys: unreadable.has('jwtKeys') ? null : (given.jwtKeys ?? readJwtKeys(env, problems)),
    jwtIssuer: read('jwtIssuer', 'JWT_ISSUER', undefined, String),
    jwtAudience: read('jwtAudience', 'JWT_AUDIENCE', undefined, String),
    jwtAccountClaim: read('jwtAccountClaim', 'JWT_ACCOUNT_CLAIM', 'sub', String),
    jwtLeewaySeconds: read('jwtLeewaySeconds', 'JWT_LEEWAY_SECONDS', LEEWAY_SECONDS, integer(0, 60)),
    tokenPrefix: read(
      'tokenPrefix',
      'TOKEN_PREFIX',
      'tkl',
      matching(PREFIX_PATTERN, 'like tkl: [a-z][a-z0-9]{1,15}'),
    ),
    apiTokenHeader: read('apiTokenHeader', 'API_TOKEN_HEADER', 'X-API-Token', tokenHeader),
    acceptLegacyTokens: read('acceptLegacyTokens', 'ACCEPT_LEGACY_TOKENS', false, trueOrFalse),
    peppers: read('peppers', 'TOKEN_PEPPERS', null, parsePeppers),
    tokenMaxLifetimeDays: read('tokenMaxLifetimeDays', 'TOKEN_MAX_LIFETIME_DAYS', null, integer(1, 36_500)),
    maxTokensPerAccount: read('maxTokensPerAccount', 'MAX_TOKENS_PER_ACCOUNT', 100, integer(1, 1_000_000)),
    scopes: read('scopes', 'SCOPES', null, parseCatalogue),
    operatorScope: read('operatorScope', 'OPERATOR_SCOPE', null, scopeName),
    scopeCeiling: read(
      'scopeCeiling',
      'SCOPE_CEILING',
      true,
      (text) => oneOf(['on', 'off'] as const)(text) === 'on',
    ),
    usageFlushMs: read('usageFlushMs', 'USAGE_FLUSH_MS', 1000, integer(10, 3_600_000)),
    usageRetentionDays: read('usageRetentionDays', 'USAGE_RETENTION_DAYS', null, integer(1, 36_500)),
    auditMode: read('auditMode', 'AUDIT_MODE', 'buffered', oneOf(['buffered', 'strict'] as const)),
    auditKeyFile: read('auditKeyFile', 'AUDIT_KEY_FILE', null, String),
    rateLimitFailuresPerMinute: read(
      'rateLimitFailuresPerMinute',
      'RATE_LIMIT_FAILURES_PER_MINUTE',
      600,
      integer(0, 1_000_000),
    ),
    rateLimitWritesPerMinute: read(
      'rateLimitWritesPerMinute',
      'RATE_LIMIT_WRITES_PER_MINUTE',
      120,
      integer(0, 1_000_000),
    ),
    trustedOrigins: given.trustedOrigins ?? [],
    trustProxyHops: read('trustProxyHops', 'TRUST_PROXY_HOPS', 0, integer(0, 10)),
    trustProxyFrom: read('trustProxyFrom', 'TRUST_PROXY_FROM', null, parseBlocks),
    verifyRequestHeaders: read(
      'verifyRequestHeaders',
      'VERIFY_REQUEST_HEADERS',
      null,
      oneOf(VERIFY_REQUEST_HEADERS),
    ),
    corsOrigins: read('corsOrigins', 'CORS_ORIGINS', null, parseOrigins),
    webhookUrl: read('webhookUrl', 'WEBHOOK_URL', null, secureUrl),
    webhookSecrets: read('webhookSecrets', 'WEBHOOK_SECRET', null, parseWebhookSecrets),
    keepAliveMs: read('keepAliveMs', 'KEEP_ALIVE_MS', 72_000, integer(1, 3_600_000)),
    shutdownDelayMs: read('shutdownDelayMs', 'SHUTDOWN_DELAY_MS', production ? 3000 : 0, integer(0, 600_000)),
    publicUrl: read('publicUrl', 'PUBLIC_URL', null, publicUrl),
    portalReturnUrls: read('portalReturnUrls', 'PORTAL_RETURN_URLS', null, parseReturnUrls),
    oauthClients: read('oauthClients', 'OAUTH_CLIENTS_FILE', null, readOauthClients),
    leakAction: read('leakAction', 'LEAK_ACTION', null, oneOf(['revoke', 'notify'] as const)),
    leakKeysUrl: read('leakKeysUrl', 'LEAK_KEYS_URL', GITHUB_KEYS, secureUrl),
    leakKeys: read('leakKeys', 'LEAK_KEYS_FILE', null, readLeakKeysFile),
    logLevel: read('logLevel', 'LOG_LEVEL', 'info', oneOf(LOG_LEVELS)),
    logFormat: read('logFormat', 'LOG_FORMAT', null, oneOf(LOG_FORMATS)),
    metricsPort: read('metricsPort', 'METRICS_PORT', null, integer(0, 65_535)),
    production,
  }
  // An issuer may let people choose the scopes of their JWTs, so there the scope has to be named.
  if (!settings.jwtKeys || !isIssuer(settings.jwtKeys)) settings.operatorScope ??= OPERATOR_SCOPE
  const told = {
    env,
    canBeRead: (...keys: (keyof Settings)[]) => !keys.some((key) => unreadable.has(key)),
    isOption: (key: keyof Settings) => given[key] !== undefined,
    isLibrary: reading.given !== undefined,
    isNear: reading.isNear ?? (() => true),
  }
  problems.push(...problemsTogether(settings, told))
  if (problems.length > 0) throw new SettingsError(problems)
  return Object.freeze(settings)
}

export const jwtChecksOf = (settings: Settings): JwtChecks => ({
  issuer: settings.jwtIssuer,
  audience: settings.jwtAudience,
  accountClaim: settings.jwtAccountClaim,
  leewaySeconds: settings.jwtLeewaySeconds,
})
