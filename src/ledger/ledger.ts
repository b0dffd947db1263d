import type { Middleware } from 'koa'
import type { RequestEntry } from '../application/ports/telemetry.ts'
import type { Principal } from '../domain/principal.ts'
import type { AuthenticateOptions } from '../http/authentication/authenticate.ts'
import type { PageOptions } from '../http/page/options.ts'
import type { RoutesOptions } from '../http/prefix.ts'
import type { Health, OperationOptions } from '../http/routes/operations.ts'
import type { ConnectionLoad } from '../http/server/connections.ts'
import { type Configuration, configurationOf } from '../settings/configuration.ts'
import { readOptions, type TokenLedgerOptions } from '../settings/options.ts'
import { isFile } from '../settings/parsers.ts'
import { gaugeConnections } from './gauges.ts'
import { healthOf } from './health.ts'
import { httpOf } from './http.ts'
import { type Host, startParts, useCasesOf } from './parts.ts'
import { type Tokens, tokensOf } from './tokens.ts'
import { type VerifyOptions, verifyCredential } from './verify.ts'

/** A principal with the host's account. */
export type Verified<Account extends object = object> = Principal & { account: Account }

/**
 * What `authenticate()` sets in `ctx.state`, for `new Koa<TokenLedgerState<Account>>()`. Behind
 * `authenticate({ optional: true })` it is a `Partial` of this.
 */
export interface TokenLedgerState<Account extends object = { id: string }> {
  principal: Principal
  account: Account
}

/** `Account` is what `resolveAccount` returns. */
export interface TokenLedger<Account extends object = object> {
  /**
   * Sets `ctx.state.principal` and `ctx.state.account`, or answers 401, 400, 429 or 503.
   * @throws TypeError for options that are none
   */
  authenticate(options?: AuthenticateOptions): Middleware
  /**
   * Lets a principal with this scope pass, or answers 403.
   * @throws TypeError for what can be no scope
   */
  requireScope(scope: string): Middleware
  /**
   * The `/settings/api-tokens` routes. They authenticate by themselves if no middleware before them has.
   * @throws TypeError for a prefix that is no path
   */
  routes(options?: RoutesOptions): Middleware
  /**
   * `/admin/…`, where operators see and revoke the tokens of all accounts. To everybody else no path there exists, so
   * mount it behind pages of your own under that path.
   */
  operatorRoutes(): Middleware
  /**
   * `/oauth/introspect` and `/oauth/revoke`, for gateways that speak OAuth. Mount it in front of what reads bodies.
   * Without `oauthClientsFile` it passes every request on.
   */
  oauthRoutes(): Middleware
  /**
   * `/leaks/github`, for GitHub's reports of tokens that were found in public. Mount it in front of what reads bodies.
   * Without `leakAction` it passes every request on.
   */
  leakRoutes(): Middleware
  /**
   * The page on which people see and manage their tokens. It knows who is logged in by `resolveUser`, or by a portal
   * session. Mount it behind what `resolveUser` looks at, and in front of what reads bodies.
   * @throws TypeError for options that are none
   */
  page(options?: PageOptions): Middleware
  /**
   * `/settings/portal-sessions`, where a backend gets a link to the page for somebody who is logged in there: to the one
   * that was mounted first, at its prefix below `publicUrl`. Without `publicUrl` it passes every request on.
   */
  portalRoutes(): Middleware
  /** `/auth/verify`, for reverse proxies. */
  verifyRoutes(): Middleware
  /**
   * `/health/*`, `/metrics`, `/openapi.json` and `/docs`.
   * @throws TypeError for options that are none
   */
  operationRoutes(options?: OperationOptions): Middleware
  /** `/metrics` alone, for a port of their own. */
  metricsRoutes(): Middleware
  /**
   * One log line and one metric for each request. `write` writes the lines in place of the ledger's own log.
   * @throws TypeError for what is no function
   */
  observe(write?: (entry: RequestEntry) => void): Middleware
  /**
   * Shows in the metrics what the connections of the server hold.
   * @throws TypeError for a load that lacks a function
   */
  observeServer(load: ConnectionLoad): void
  /**
   * Decides as `authenticate` does, but without HTTP, for a token or a JWT, and counts the use.
   * @param credential as a header has it; null or undefined if none was sent
   * @param options the request that it came with, for other frameworks than Koa
   * @returns null for a credential that is not good
   * @throws StoreUnavailableError if the store that decides cannot be reached, or the keys of JWTs cannot be had;
   *   RateLimitedError if too many bad credentials have come from `ip`; TypeError for options that are none; what
   *   `resolveAccount` throws
   */
  verify(credential: string | null | undefined, options?: VerifyOptions): Promise<Verified<Account> | null>
  /** Manages tokens from code. */
  readonly tokens: Tokens
  health(): Promise<Health>
  /** Prometheus text of this ledger's metrics. */
  metrics(): Promise<string>
  /**
   * From now on readiness is red, and answers that `observe` sees close their connections. Resolves when no request is
   * under way.
   */
  drain(): Promise<void>
  /** Flushes usage, stops the projector, closes the stores. However often it is called, that is done once. */
  close(): Promise<void>
}

/**
 * Opens the stores, brings the read model up to date, and starts counting.
 * @throws SettingsError, StoreInUseError, StoreUnavailableError, DamagedError
 */
export async function createTokenLedger<Account extends object = { id: string }>(
  options: TokenLedgerOptions<Account> = {},
): Promise<TokenLedger<Account>> {
  return startLedger(configurationOf(process.env, { ...readOptions(options), isNear: isFile }), options)
}

/** As `createTokenLedger`, for a service that has read its settings. */
export async function startLedger<Account extends object>(
  configuration: Configuration,
  host: Host,
): Promise<TokenLedger<Account>> {
  const parts = await startParts(configuration, host)
  const useCases = useCasesOf(parts)
  let stopping = false
  const health = healthOf(parts, () => stopping)
  const http = httpOf(parts, useCases, health, host.onProblem)
  const { settings, clock, metrics } = parts
  let closing: Promise<void> | null = null

  async function close(): Promise<void> {
    stopping = true
    http.endStreams()
    await useCases.activator.stop()
    await parts.stop()
    http.close()
  }

  return {
    ...http.middleware,
    observeServer: (load) => gaugeConnections(metrics, load),

    async verify(value, how = {}) {
      if (typeof value !== 'string') return null
      const kind = value.startsWith(`${settings.tokenPrefix}_`) ? 'token' : 'jwt'
      const accepted = await verifyCredential(http.authenticate, { kind, value }, how)
      // It came from this ledger's own `resolveAccount`.
      return accepted && { ...accepted.principal, account: accepted.account as Account }
    },

    tokens: tokensOf(useCases, settings, clock),
    health,
    metrics: () => metrics.registry.metrics(),

    drain() {
      stopping = true
      return http.drain()
    },

    close: () => (closing ??= close()),
  }
}
