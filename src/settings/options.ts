import type { Context } from 'koa'
import type { JwtOptions } from '../adapters/jwt/verifier.ts'
import type { ResolveAccount } from '../application/authentication/authenticate.ts'
import type { User } from '../application/authentication/user.ts'
import type { Clock } from '../application/ports/clock.ts'
import type { Logger } from '../application/ports/telemetry.ts'
import type { CatalogueEntry } from '../domain/scopes.ts'
import { catalogueOf } from './catalogue.ts'
import type { AccountEvent } from '../presentation/feed.ts'
import type { OnProblem } from '../http/problem.ts'
import { assertJwtOptions } from './jwtOptions.ts'
import { originsOf } from './origins.ts'
import {
  type Given,
  OPTION_NAMES,
  type Reading,
  type Settings,
  type VerifyRequestHeaders,
} from './settings.ts'

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
  /**
   * `{ secret }` (HS256, at least 32 bytes), `{ publicKey }` (PEM) or `{ keys }` by `kid`, with `issuer` and so on; or
   * `{ issuer, jwksUrl }` or `{ issuer }` for an issuer that publishes its keys.
   */
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
  /**
   * The scope of a JWT that makes its bearer an operator, for `operatorRoutes()`. Default: `tokenledger:operator`, and
   * none where an issuer publishes the keys of JWTs.
   */
  operatorScope?: string
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
  /** Where callers see the ledger's routes: https, or http on this machine. Default: unknown, and nothing names it. */
  publicUrl?: string
  /** URLs, separated by spaces, at or below which a portal session may send people back. Default: none. */
  portalReturnUrls?: string
  /** A file with the clients of `oauthRoutes()`, as `tokenledger oauth-client` makes them. Default: no such routes. */
  oauthClientsFile?: string
  /** Where webhooks are sent: a URL of https, or of http on this machine. Default: nowhere. */
  webhookUrl?: string
  /** `whsec_<base64>`, or several of these separated by spaces: webhooks are signed with each. */
  webhookSecret?: string
  /**
   * Called with each event of a token's life: at least once over all processes and restarts, those of one token in
   * order. What it throws, and taking more than 15 s, is a failure: it is called again later.
   */
  onEvent?: (event: AccountEvent) => void | Promise<void>
  /**
   * What becomes of tokens whose secrets GitHub has found in public: `revoke`, or `notify` to only write it down. Default:
   * `leakRoutes()` takes no reports.
   */
  leakAction?: 'revoke' | 'notify'
  /** Where the reporter's keys are published. Default: GitHub's own. */
  leakKeysUrl?: string
  /** A file with the same document, in place of that. */
  leakKeysFile?: string
  /** Writes refusals in the host's own form. Default: problem documents (RFC 9457). */
  onProblem?: OnProblem
  /** A pino logger, or anything with its four methods (`debug`, `info`, `warn`, `error`). Default: warnings and errors go to standard error. */
  log?: Logger
  /** Milliseconds since 1970; for tests. */
  clock?: Clock
}

type Kind =
  | 'text'
  | 'a number'
  | 'a number or null'
  | 'true or false'
  | 'a function'
  | 'a log with debug, info, warn and error'

/** Options that are checked by functions of their own. */
const OTHERS: ReadonlySet<string> = new Set([
  'jwt',
  'scopes',
  'trustedOrigins',
] satisfies (keyof TokenLedgerOptions)[])

/** What each of the others is. */
const KINDS: Record<Exclude<keyof TokenLedgerOptions, 'jwt' | 'scopes' | 'trustedOrigins'>, Kind> = {
  eventStoreUrl: 'text',
  readModelUrl: 'text',
  peppers: 'text',
  resolveAccount: 'a function',
  tokenPrefix: 'text',
  apiTokenHeader: 'text',
  acceptLegacyTokens: 'true or false',
  tokenMaxLifetimeDays: 'a number or null',
  maxTokensPerAccount: 'a number',
  operatorScope: 'text',
  scopeCeiling: 'true or false',
  eventStoreShared: 'true or false',
  eventStoreTimeoutMs: 'a number',
  usageFlushMs: 'a number',
  usageRetentionDays: 'a number or null',
  auditMode: 'text',
  rateLimitFailuresPerMinute: 'a number',
  rateLimitWritesPerMinute: 'a number',
  resolveUser: 'a function',
  trustProxyHops: 'a number',
  trustProxyFrom: 'text',
  verifyRequestHeaders: 'text',
  corsOrigins: 'text',
  publicUrl: 'text',
  portalReturnUrls: 'text',
  oauthClientsFile: 'text',
  webhookUrl: 'text',
  webhookSecret: 'text',
  onEvent: 'a function',
  leakAction: 'text',
  leakKeysUrl: 'text',
  leakKeysFile: 'text',
  onProblem: 'a function',
  log: 'a log with debug, info, warn and error',
  clock: 'a function',
}

/** Numbers, and what is true or false, may also be given as text, as the environment has them. */
function isOf(kind: Kind, value: unknown): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string'
    case 'a number':
      return typeof value === 'number' || typeof value === 'string'
    case 'a number or null':
      return value === null || isOf('a number', value)
    case 'true or false':
      return typeof value === 'boolean' || typeof value === 'string'
    case 'a function':
      return typeof value === 'function'
    case 'a log with debug, info, warn and error':
      return ['debug', 'info', 'warn', 'error'].every(
        (method) => typeof (value as Record<string, unknown> | null)?.[method] === 'function',
      )
  }
}

/** Names that are no options: one that is misspelt must not leave a door open. */
const problemsOfName = (options: object): string[] =>
  Object.keys(options)
    .filter((name) => !Object.hasOwn(KINDS, name) && !OTHERS.has(name))
    .map((name) => `${name.slice(0, 100)} is no option`)

/** Settings by the names of their options, where these are others. */
const SETTINGS = new Map(Object.entries(OPTION_NAMES).map(([setting, option]) => [option, setting]))

/** The options as `readSettings` takes them, with every problem that shows already, and without any value. */
export function readOptions(options: TokenLedgerOptions): Required<Omit<Reading, 'isNear'>> {
  const problems = problemsOfName(options)
  const unreadable = new Set<string>()
  const texts: Record<string, unknown> = {}
  for (const [name, kind] of Object.entries(KINDS)) {
    const value = options[name as keyof TokenLedgerOptions]
    const setting = SETTINGS.get(name) ?? name
    if (value === undefined) continue
    if (isOf(kind, value)) texts[setting] = value
    else {
      problems.push(`${name} must be ${kind}`)
      unreadable.add(setting)
    }
  }
  const given: Given = texts
  const attempt = (setting: keyof Settings, name: string, take: () => void): void => {
    try {
      take()
    } catch (error) {
      problems.push(`${name} ${(error as Error).message}`)
      unreadable.add(setting)
    }
  }
  const { jwt, scopes, trustedOrigins } = options
  attempt('jwtKeys', 'the key in the option jwt', () => {
    if (jwt === undefined) return
    assertJwtOptions(jwt)
    given.jwtKeys = jwt
    given.jwtIssuer = jwt.issuer
    given.jwtAudience = jwt.audience
    given.jwtAccountClaim = jwt.accountClaim
    given.jwtLeewaySeconds = jwt.leewaySeconds
  })
  attempt('scopes', 'scopes', () => {
    if (scopes !== undefined) given.scopes = catalogueOf(scopes)
  })
  attempt('trustedOrigins', 'trustedOrigins', () => {
    if (trustedOrigins !== undefined) given.trustedOrigins = originsOf(trustedOrigins)
  })
  return { given, problems, unreadable: unreadable as ReadonlySet<keyof Settings> }
}
