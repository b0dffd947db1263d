import type { Context } from 'koa'
import { createJwtVerifier, type JwtOptions } from '../adapters/jwt/verifier.ts'
import type { ResolveAccount } from '../application/authentication/authenticate.ts'
import type { User } from '../application/authentication/user.ts'
import type { Clock } from '../application/ports/clock.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import { parseBlocks } from '../domain/address.ts'
import { parsePeppers } from '../domain/credential.ts'
import type { CatalogueEntry } from '../domain/scopes.ts'
import { catalogueOf } from './catalogue.ts'
import type { OnProblem } from '../http/problem.ts'
import { originsOf, parseOrigins } from './origins.ts'
import { readSettings, type Settings, SettingsError, type VerifyRequestHeaders } from './settings.ts'

/** What is not given comes from the environment (see docs/settings.md), and from its defaults. */
export interface TokenLedgerOptions<Account extends object = object> {
  /** `sqlite:<path>`, `esdb://…` or `esdb+discover://…` */
  eventStoreUrl?: string
  /** `sqlite:<path>`, `mongodb://…` or `mongodb+srv://…` */
  readModelUrl?: string
  /** `{ secret }` (HS256, at least 32 bytes), `{ publicKey }` (PEM) or `{ keys }` by `kid`; with issuer and so on. */
  jwt?: JwtOptions
  /** `k2:<base64>,k1:<base64>`: the first signs, all verify. */
  peppers?: string
  /** The host's account for an id; null refuses the credential. Default: `{ id }`. */
  resolveAccount?: ResolveAccount<Account>
  tokenPrefix?: string
  apiTokenHeader?: string
  /** Looks for what stands in the API token header and is not of the own format among imported tokens. Default: no. */
  acceptLegacyTokens?: boolean
  tokenMaxLifetimeDays?: number
  maxTokensPerAccount?: number
  /** The scopes that there are: a token can be given no other. Default: any that is well formed. */
  scopes?: readonly CatalogueEntry[]
  /** False: whoever may manage tokens may give out any scope, also one that they lack. Default: true. */
  scopeCeiling?: boolean
  usageFlushMs?: number
  /** Usage events older than that are dropped once their day is rolled up. Default: they are kept for ever. */
  usageRetentionDays?: number
  auditMode?: 'buffered' | 'strict'
  /** 0: off */
  rateLimitFailuresPerMinute?: number
  /** 0: off */
  rateLimitWritesPerMinute?: number
  /**
   * Who is logged in to the host's app: asked for requests to the management routes that bring no credential. Null for
   * nobody.
   */
  resolveUser?: (ctx: Context) => User | null | Promise<User | null>
  /** Origins beside the app's own whose pages may act for its users, as `https://app.example.com`. Default: none. */
  trustedOrigins?: readonly string[]
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
  /** Writes refusals in the host's own form. Default: problem documents (RFC 9457). */
  onProblem?: OnProblem
  /** A pino logger, or anything with its four methods. Default: warnings and errors go to standard error. */
  log?: Logger
  /** Milliseconds since 1970; for tests. */
  clock?: Clock
}

/** @throws SettingsError with every problem of the options, or of what the environment says in their place */
export function settingsOf({
  jwt,
  peppers,
  trustProxyFrom,
  scopes,
  trustedOrigins,
  corsOrigins,
  ...options
}: TokenLedgerOptions): Settings {
  const given: Partial<Settings> = { ...options }
  const problems: string[] = []
  const attempt = (name: string, take: () => void): void => {
    try {
      take()
    } catch (error) {
      problems.push(`${name} ${(error as Error).message}`)
    }
  }
  attempt('the JWT key', () => {
    if (!jwt) return
    createJwtVerifier(jwt)
    given.jwtKeys = jwt
    given.jwtIssuer = jwt.issuer
    given.jwtAudience = jwt.audience
    if (jwt.accountClaim !== undefined) given.jwtAccountClaim = jwt.accountClaim
    if (jwt.leewaySeconds !== undefined) given.jwtLeewaySeconds = jwt.leewaySeconds
  })
  attempt('peppers', () => {
    if (peppers !== undefined) given.peppers = parsePeppers(peppers)
  })
  attempt('trustProxyFrom', () => {
    if (trustProxyFrom !== undefined) given.trustProxyFrom = parseBlocks(trustProxyFrom)
  })
  if (!['undefined', 'boolean', 'string'].includes(typeof options.scopeCeiling))
    problems.push('scopeCeiling must be true or false')
  attempt('scopes', () => {
    if (scopes !== undefined) given.scopes = catalogueOf(scopes)
  })
  attempt('trustedOrigins', () => {
    if (trustedOrigins !== undefined) given.trustedOrigins = originsOf(trustedOrigins)
  })
  attempt('corsOrigins', () => {
    if (corsOrigins !== undefined) given.corsOrigins = parseOrigins(corsOrigins)
  })
  if (problems.length > 0) throw new SettingsError(problems)
  return readSettings(process.env, given)
}
