import { createJwtVerifier, type JwtOptions } from '../adapters/jwt/verifier.ts'
import type { ResolveAccount } from '../application/authentication/authenticate.ts'
import type { Clock } from '../application/ports/clock.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import { parseBlocks } from '../domain/address.ts'
import { parsePeppers } from '../domain/credential.ts'
import { parseOrigins } from './origins.ts'
import { readSettings, type Settings, SettingsError, type VerifyRequestHeaders } from './settings.ts'

/** What is not given comes from the environment (see docs/settings.md), and from its defaults. */
export interface TokenLedgerOptions {
  /** `sqlite:<path>`, `esdb://…` or `esdb+discover://…` */
  eventStoreUrl?: string
  /** `sqlite:<path>`, `mongodb://…` or `mongodb+srv://…` */
  readModelUrl?: string
  /** `{ secret }` (HS256, at least 32 bytes), `{ publicKey }` (PEM) or `{ keys }` by `kid`; with issuer and so on. */
  jwt?: JwtOptions
  /** `k2:<base64>,k1:<base64>`: the first signs, all verify. */
  peppers?: string
  /** The host's account for an id; null refuses the credential. Default: `{ id }`. */
  resolveAccount?: ResolveAccount
  tokenPrefix?: string
  apiTokenHeader?: string
  /** Looks for what stands in the API token header and is not of the own format among imported tokens. Default: no. */
  acceptLegacyTokens?: boolean
  tokenMaxLifetimeDays?: number
  maxTokensPerAccount?: number
  usageFlushMs?: number
  /** Usage events older than that are dropped once their day is rolled up. Default: they are kept for ever. */
  usageRetentionDays?: number
  auditMode?: 'buffered' | 'strict'
  /** 0: off */
  rateLimitFailuresPerMinute?: number
  /** 0: off */
  rateLimitWritesPerMinute?: number
  /**
   * How many proxies stand in front of the app: callers' addresses are then read from `X-Forwarded-For`. `ctx.ip` is
   * never asked. Default: 0, addresses are those of the connections.
   */
  trustProxyHops?: number
  /** Addresses and CIDR blocks, separated by commas: only such peers are believed to be proxies. Default: all. */
  trustProxyFrom?: string
  /**
   * Which headers name the request that a proxy asks `/auth/verify` about: `x-original` (nginx) or `x-forwarded`
   * (Traefik, Caddy). Default: none is believed, and the use is counted on the question's own method and path.
   */
  verifyRequestHeaders?: VerifyRequestHeaders
  /** Origins whose pages may call `routes()`, separated by spaces: `https://app.example.com`. Default: none. */
  corsOrigins?: string
  /** A pino logger, or anything with its four methods. Default: nothing is logged. */
  log?: Logger
  /** Milliseconds since 1970; for tests. */
  clock?: Clock
}

/** @throws SettingsError with every problem of the options, or of what the environment says in their place */
export function settingsOf({
  jwt,
  peppers,
  trustProxyFrom,
  corsOrigins,
  ...options
}: TokenLedgerOptions): Settings {
  const given: Partial<Settings> = { ...options }
  const problems: string[] = []
  try {
    if (jwt) {
      createJwtVerifier(jwt)
      given.jwtKeys = jwt
      given.jwtIssuer = jwt.issuer
      given.jwtAudience = jwt.audience
      if (jwt.accountClaim !== undefined) given.jwtAccountClaim = jwt.accountClaim
    }
  } catch (error) {
    problems.push(`the JWT key ${(error as Error).message}`)
  }
  try {
    if (peppers !== undefined) given.peppers = parsePeppers(peppers)
  } catch (error) {
    problems.push(`peppers ${(error as Error).message}`)
  }
  try {
    if (trustProxyFrom !== undefined) given.trustProxyFrom = parseBlocks(trustProxyFrom)
  } catch (error) {
    problems.push(`trustProxyFrom ${(error as Error).message}`)
  }
  try {
    if (corsOrigins !== undefined) given.corsOrigins = parseOrigins(corsOrigins)
  } catch (error) {
    problems.push(`corsOrigins ${(error as Error).message}`)
  }
  if (problems.length > 0) throw new SettingsError(problems)
  return readSettings(process.env, given)
}
