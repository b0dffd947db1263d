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

/** Options that are left out come from the environment (see docs/settings.md), or have their defaults. */
export interface TokenLedgerOptions<Account extends object = object> {
  /** `sqlite:<path>`, `esdb://…` or `esdb+discover://…` */
  eventStoreUrl?: string
  /** `sqlite:<path>`, `mongodb://…` or `mongodb+srv://…` */
  readModelUrl?: string
  /** False: no other process writes to the event store on the server. Default: others may. */
  eventStoreShared?: boolean
  /** How long a change waits for an EventStoreDB, in milliseconds, before it is refused with 503. Default: 10,000. */
  eventStoreTimeoutMs?: number
  /** `{ secret }` (HS256, at least 32 bytes), `{ publicKey }` (PEM) or `{ keys }` by `kid`; with issuer and so on. */
  jwt?: JwtOptions
  /** `k2:<base64>,k1:<base64>`: the first signs, all verify. */
  peppers?: string
  /** The host's account for an id; null refuses the credential. Default: `{ id }`. */
  resolveAccount?: ResolveAccount<Account>
  tokenPrefix?: string
  apiTokenHeader?: string
  /**
   * If true, a value in the API token header that is not of our own format is looked for among imported tokens.
   * Default: false.
   */
  acceptLegacyTokens?: boolean
  tokenMaxLifetimeDays?: number
  maxTokensPerAccount?: number
  /** The scopes that exist: a token can have no other. Default: any well-formed name is a scope. */
  scopes?: readonly CatalogueEntry[]
  /** If false, whoever may manage tokens may give out any scope, even one that they lack. Default: true. */
  scopeCeiling?: boolean
  usageFlushMs?: number
  /** Usage events that are older are dropped once their day is rolled up. Default: they are kept for ever. */
  usageRetentionDays?: number
  auditMode?: 'buffered' | 'strict'
  /** 0: no limit */
  rateLimitFailuresPerMinute?: number
  /** 0: no limit */
  rateLimitWritesPerMinute?: number
  /**
   * Says who is logged in to the host's app; null if nobody is. It is asked for requests to the management routes that
   * bring no credential.
   */
  resolveUser?: (ctx: Context) => User | null | Promise<User | null>
  /**
   * Origins, in addition to the app's own, whose pages may act for its users, like `https://app.example.com`. Default:
   * none.
   */
  trustedOrigins?: readonly string[]
  /**
   * The number of proxies in front of the app. Addresses of callers are then read from `X-Forwarded-For`; `ctx.ip` is
   * never used. Default: 0, the address of the connection is the caller's.
   */
  trustProxyHops?: number
  /**
   * Addresses and CIDR blocks, separated by commas: only peers among them are believed to be proxies. Default: all are.
   */
  trustProxyFrom?: string
  /**
   * Which headers name the request that a proxy asks `/auth/verify` about: `x-original` (nginx) or `x-forwarded`
   * (Traefik, Caddy). Default: no header is believed, and the use is counted with the method and path of the proxy's
   * own request.
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

/** @throws SettingsError with every problem of the options, or of the environment where no option is given */
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
  for (const name of ['eventStoreShared', 'scopeCeiling'] as const)
    if (!['undefined', 'boolean', 'string'].includes(typeof options[name]))
      problems.push(`${name} must be true or false`)
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
