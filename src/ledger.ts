import { randomBytes } from 'node:crypto'
import type { Middleware } from 'koa'
import { projections } from '../projections/index.ts'
import { createJwtVerifier } from './adapters/jwt/verifier.ts'
import { createMetrics } from './adapters/telemetry/metrics.ts'
import { createTokenAt } from './application/asOf.ts'
import { createAuthenticator } from './application/authenticate.ts'
import { ids } from './application/ids.ts'
import { knowingItsAppends, knowingItsChanges } from './application/lastWrite.ts'
import { createAccountLimit } from './application/limit.ts'
import { createGates, type Gates } from './application/gates.ts'
import { createLogGuard, type LogGuard } from './application/logGuard.ts'
import { createManage } from './application/manage.ts'
import type { Clock, Logger, RequestEntry } from './application/ports.ts'
import type { Principal } from './application/principal.ts'
import { createProjector } from './application/project.ts'
import { createQueries } from './application/query.ts'
import { createRecorder } from './application/record.ts'
import { createRetention, type Retention } from './application/retention.ts'
import { answers, shared } from './application/shared.ts'
import { startUpkeep } from './application/upkeep.ts'
import { createTokenIndex, expecting, measureIndex } from './application/tokenIndex.ts'
import { type Keys, keysOf } from './devSecrets.ts'
import type { Pepper } from './domain/credential.ts'
import {
  type AuthenticateOptions,
  authenticateMiddleware,
  createJudge,
  requireScopeMiddleware,
} from './http/authenticate.ts'
import { callerAddress } from './http/callerAddress.ts'
import type { ConnectionLoad } from './http/connections.ts'
import { credentialReader } from './http/credential.ts'
import { createLineQuota, withQuota } from './http/lineQuota.ts'
import { createObserver } from './http/observe.ts'
import { describe } from './http/openapi.ts'
import { createRateLimit } from './http/rateLimit.ts'
import { routerOf } from './http/route.ts'
import { analyticsRoutes } from './http/routes/analytics.ts'
import { type Health, operationRoutes } from './http/routes/operations.ts'
import { tokenRoutes } from './http/routes/tokens.ts'
import { verifyRoutes } from './http/routes/verify.ts'
import { settingsOf, type TokenLedgerOptions } from './options.ts'
import { jwtOptionsOf, type Settings } from './settings.ts'
import { gaugeStores } from './storeGauges.ts'
import { openStores } from './stores.ts'
import { version } from './version.ts'

/** A principal with the host's account. */
export type Verified = Principal & { account: object }

export interface TokenLedger {
  /** Sets `ctx.state.principal` and `ctx.state.account`, or answers 401, 400, 429 or 503. */
  authenticate(options?: AuthenticateOptions): Middleware
  /** Lets a principal with this scope through, or answers 403. */
  requireScope(scope: string): Middleware
  /** The `/settings/api-tokens` routes. They authenticate by themselves where nobody has before. */
  routes(): Middleware
  /** `/auth/verify`, for reverse proxies. */
  verifyRoutes(): Middleware
  /** `/health/*`, `/metrics`, `/openapi.json` and `/docs`. */
  operationRoutes(): Middleware
  /** One log line and one metric for each request. `write` writes the lines in place of the ledger's own log. */
  observe(write?: (entry: RequestEntry) => void): Middleware
  /** Shows in the metrics what the connections of the server hold. */
  observeServer(load: ConnectionLoad): void
  /**
   * The decision of `authenticate` without HTTP, for a token or a JWT; counted as a use with the route `verify()`.
   * @returns null for a credential that is not good
   * @throws StoreUnavailableError where the store that decides cannot be reached
   */
  verify(credential: string): Promise<Verified | null>
  health(): Promise<Health>
  /** Prometheus text of this ledger's metrics. */
  metrics(): Promise<string>
  /** Readiness turns red and observed answers end their connections; resolves when none is under way any more. */
  drain(): Promise<void>
  /** Flushes usage, stops the projector, closes the stores. */
  close(): Promise<void>
}

/** Tokens kept ready for authentication, if they are not large: then fewer. */
const INDEX_CAP = 131_072

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * Opens the stores, brings the read model up to date, and starts counting.
 * @throws SettingsError, StoreInUseError, StoreUnavailableError, DamagedError
 */
export async function createTokenLedger(options: TokenLedgerOptions = {}): Promise<TokenLedger> {
  const settings = settingsOf(options)
  const keys = keysOf(settings)
  const { log = silent, clock = Date.now } = options
  const metrics = createMetrics(log)
  const jwt = createJwtVerifier(jwtOptionsOf(settings, keys.jwt))

  const opened = await openStores(settings, log)
  const stores = {
    store: knowingItsAppends(opened.store),
    readModel: knowingItsChanges(opened.readModel),
  }
  const guard = createLogGuard({ ...stores, projections, log })
  const { store, readModel } = guard
  try {
    const gates = createGates(metrics)
    const index = createTokenIndex(readModel, keys.peppers, INDEX_CAP, undefined, gates.lookUps)
    const projector = createProjector({
      ...stores,
      projections,
      telemetry: metrics,
      id: ids.random(),
      onChanged: index.evict,
    })
    await projector.start()
    guard.start()
    index.start((err) => log.warn({ err }, 'changes by other processes are not heard of for now'))
    const recorder = createRecorder({
      store,
      clock,
      ids,
      flushMs: settings.usageFlushMs,
      telemetry: metrics,
      strict: settings.auditMode === 'strict',
    })
    recorder.start()
    const retention = createRetention({
      store,
      clock,
      ids,
      telemetry: metrics,
      days: settings.usageRetentionDays,
      leads: () => projector.leads() && projector.lag() === 0,
    })
    retention.start()
    metrics.gauge('usage_days_overdue', 'Days that may be lost: see the log.', retention.overdue)
    const upkeep = startUpkeep({
      store,
      readModel,
      projections,
      telemetry: metrics,
      apply: projector.apply,
      retentionDays: settings.usageRetentionDays,
    })
    metrics.gauge(
      'projector_lag_seconds',
      'How long the read model has been behind the event store.',
      projector.lag,
    )
    metrics.gauge('usage_buffer_entries', 'Token windows that wait to be stored.', recorder.pending)
    gaugeStores(metrics, stores.store, stores.readModel)
    measureIndex(index, metrics)
    metrics.gauge('usage_buffer_bytes', 'Memory that they take, nearly.', recorder.bytes)
    const { linesLost, bytesWaiting } = log
    if (linesLost) metrics.counter('log_lines_lost_total', 'Log lines that could not be written.', linesLost)
    if (bytesWaiting) metrics.gauge('log_waiting_bytes', 'Log lines that wait to be written.', bytesWaiting)
    metrics.gauge('projector_leads', 'Whether this process fills the read model.', () =>
      Number(projector.leads()),
    )
    return assemble({
      settings,
      keys,
      options,
      clock,
      jwt,
      metrics,
      stores,
      guard,
      gates,
      index,
      projector,
      recorder,
      retention,
      upkeep,
    })
  } catch (error) {
    await guard.stop()
    await Promise.allSettled([store.close(), readModel.close()])
    throw error
  }
}

interface Parts {
  settings: Settings
  keys: Keys
  options: TokenLedgerOptions
  clock: Clock
  jwt: ReturnType<typeof createJwtVerifier>
  metrics: ReturnType<typeof createMetrics>
  stores: {
    store: ReturnType<typeof knowingItsAppends>
    readModel: ReturnType<typeof knowingItsChanges>
  }
  guard: LogGuard
  gates: Gates
  index: ReturnType<typeof createTokenIndex>
  projector: ReturnType<typeof createProjector>
  recorder: ReturnType<typeof createRecorder>
  retention: Retention
  upkeep: ReturnType<typeof startUpkeep>
}

function assemble(parts: Parts): TokenLedger {
  const {
    settings,
    keys,
    options,
    clock,
    jwt,
    metrics,
    stores,
    guard,
    gates,
    index,
    projector,
    recorder,
    retention,
  } = parts
  const { store, readModel } = guard
  const refusals = createLineQuota(metrics.log, 'refusals of one address in summary')
  const log = withQuota(metrics.log, refusals)
  const toLog = ({ method, route, status, ms, requestId, principal }: RequestEntry): void =>
    metrics.log.info({ method, route, status, ms, requestId, principal }, 'request')
  const { tokenPrefix: prefix, apiTokenHeader } = settings
  const addressOf = callerAddress({ hops: settings.trustProxyHops, from: settings.trustProxyFrom })
  const observer = createObserver(metrics.responded, addressOf)
  metrics.gauge('requests_in_flight', 'Requests under way.', observer.inFlight)
  let stopping = false

  const authenticator = createAuthenticator({
    index,
    jwt,
    resolveAccount: options.resolveAccount,
    clock,
    prefix,
    telemetry: metrics,
  })
  const strict = settings.auditMode === 'strict'
  const judge = createJudge({
    authenticator,
    readCredential: credentialReader(apiTokenHeader, prefix, settings.acceptLegacyTokens),
    addressOf,
    recorder,
    failures: createRateLimit('failures', settings.rateLimitFailuresPerMinute),
    strict,
    now: clock,
    log,
  })
  const made = createManage({
    store,
    readModel,
    project: projector.apply,
    close: projector.close,
    limit: createAccountLimit(readModel, clock, settings.maxTokensPerAccount),
    clock,
    ids,
    randomBytes,
    prefix,
    pepper: keys.peppers[0] as Pepper,
    maxLifetimeDays: settings.tokenMaxLifetimeDays,
    telemetry: metrics,
  })
  const manage = expecting(index, made)

  const askStores = shared(() => Promise.all([answers(store.head()), answers(readModel.ping())]))
  async function health(): Promise<Health> {
    const [eventStore, model] = await askStores()
    const [isReplaced, isLost] = [guard.flaw() !== null, readModel.loss() !== null]
    const writable = { eventStore: stores.store.isWritable(), readModel: stores.readModel.isWritable() }
    return { eventStore, isReplaced, readModel: model, isLost, writable, lag: projector.lag(), stopping }
  }

  const queries = createQueries(readModel, clock)
  const table = {
    tokens: [
      ...analyticsRoutes({ judge, reads: gates.reads, queries, clock }),
      ...tokenRoutes({
        judge,
        reads: gates.reads,
        manage,
        queries,
        tokenAt: createTokenAt(store, log),
        writes: createRateLimit('writes', settings.rateLimitWritesPerMinute),
        clock,
      }),
    ],
    verify: verifyRoutes(judge),
    operations: operationRoutes({
      health,
      metrics: {
        contentType: metrics.registry.contentType,
        text: shared(() => metrics.registry.metrics()),
      },
      openapi: () => description,
    }),
  }
  const routes = [...table.tokens, ...table.verify, ...table.operations]
  const description: Buffer = Buffer.from(
    JSON.stringify(describe(routes, { version, tokenHeader: apiTokenHeader })),
  )

  return {
    authenticate: (how = {}) => authenticateMiddleware(judge, log, how),
    requireScope: (scope) => requireScopeMiddleware(judge, log, scope),
    routes: () => routerOf(table.tokens, log),
    verifyRoutes: () => routerOf(table.verify, log),
    operationRoutes: () => routerOf(table.operations, log),
    observe: (write = toLog) => observer.middleware(write),

    observeServer(load) {
      metrics.gauge('connections', 'Connections to the server.', load.connections)
      metrics.gauge('requests_waiting', 'Requests sent ahead of earlier answers.', load.waiting)
      metrics.gauge('answer_bytes_unsent', 'Bytes of answers that callers have not taken.', load.unsentBytes)
      metrics.gauge('connections_cut_off', 'Connections closed at a limit so far.', load.cutOff)
    },

    async verify(value) {
      const kind = value.startsWith(`${prefix}_`) ? 'token' : 'jwt'
      const use = { outcome: 'accepted', method: 'CALL', route: 'verify()', ip: null, userAgent: null }
      const decision = await authenticator.authenticate(
        { kind, value },
        strict ? (record) => recorder.store({ record, at: clock(), ...use }) : undefined,
      )
      if ('refused' in decision) return null
      if (decision.record && !strict) recorder.record({ record: decision.record, at: clock(), ...use })
      return { ...decision.principal, account: decision.account }
    },

    health,
    metrics: () => metrics.registry.metrics(),

    drain() {
      stopping = true
      return observer.drain()
    },

    async close() {
      stopping = true
      await parts.upkeep.stop()
      await recorder.stop()
      await retention.stop()
      await projector.stop()
      await index.stop()
      await guard.stop()
      await Promise.all([store.close(), readModel.close()])
      refusals.close()
    },
  }
}
