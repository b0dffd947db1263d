import type { Middleware } from 'koa'
import { shared } from '../application/health/answers.ts'
import type { RequestEntry } from '../application/ports/telemetry.ts'
import { createTokenAt } from '../application/tokens/asOf.ts'
import {
  type AuthenticateOptions,
  authenticateMiddleware,
  requireScopeMiddleware,
} from '../http/authentication/authenticate.ts'
import { createCors } from '../http/cors.ts'
import { createEventStreams } from '../http/eventStream.ts'
import { createLineQuota, withQuota } from '../http/lineQuota.ts'
import { createObserver } from '../http/observe.ts'
import { describe } from '../http/openapi/describe.ts'
import { newTokenExample } from '../http/routes/newTokenExample.ts'
import { tagged } from '../http/tags.ts'
import { type OnProblem, problemSender } from '../http/problem.ts'
import { createRateLimit } from '../http/rateLimit.ts'
import { movedTo, prefixOf, type RoutesOptions } from '../http/prefix.ts'
import { type Route, routerOf } from '../http/route.ts'
import { allowedIpsRoutes } from '../http/routes/allowedIps.ts'
import { analyticsRoutes } from '../http/routes/analytics.ts'
import { feedRoutes } from '../http/routes/feed.ts'
import {
  type Health,
  METRICS_PATH,
  shownOperations,
  type OperationOptions,
  operationRoutes,
} from '../http/routes/operations.ts'
import { operatorMiddleware, operatorRoutes } from '../http/routes/operators.ts'
import { rotationRoutes } from '../http/routes/rotations.ts'
import { tokenRoutes } from '../http/routes/tokens.ts'
import { verifyRoutes } from '../http/routes/verify.ts'
import { version } from '../version.ts'
import { machineRoutes } from './machines.ts'
import type { Parts, UseCases } from './parts.ts'
import { type Managers, pageOf } from './page.ts'
import { requestsOf } from './requests.ts'

/** How often a token may change itself. Whoever has stolen it must not fill its history. */
const OWN_CHANGES_PER_HOUR = 10
const HOUR_MS = 3_600_000

const limitsOf = (writesPerMinute: number) => ({
  writes: createRateLimit('writes', writesPerMinute),
  ownChanges: createRateLimit('own changes', OWN_CHANGES_PER_HOUR, undefined, HOUR_MS),
})

/** Everything that is served over HTTP, with its limits and its description. */
export function httpOf(
  parts: Parts,
  useCases: UseCases,
  health: () => Promise<Health>,
  onProblem: OnProblem | undefined,
) {
  const { settings, clock, metrics } = parts
  const refusals = createLineQuota(metrics.log, 'refusals of one address in summary')
  const log = withQuota(metrics.log, refusals)
  const sendProblem = problemSender(log, onProblem)
  const toLog = ({ method, route, status, ms, requestId, principal }: RequestEntry): void =>
    metrics.log.info({ method, route, status, ms, requestId, principal }, 'request')
  const requests = requestsOf(parts, useCases, log)
  const { addressOf, authenticate, authenticateRequest } = requests
  const observer = createObserver(metrics.responded, addressOf)
  metrics.gauge('requests_in_flight', 'Requests under way.', observer.inFlight)

  const { apiTokenHeader } = settings
  const withCors = createCors(settings.corsOrigins, apiTokenHeader)
  const shown = {
    reads: parts.gates.reads,
    queries: useCases.queries,
    tokenAt: createTokenAt(parts.guard.store, log),
    clock,
  }
  const streams = createEventStreams()
  const example = newTokenExample(settings, clock())
  const limits = limitsOf(settings.rateLimitWritesPerMinute)
  const followed = { ...shown, feed: parts.feeds.feed, watch: parts.feeds.watch, streams, log }
  const tokensFor = ({ managers, stillGood }: Managers): Route[] => {
    const shownTo = { ...shown, authenticateRequest: managers }
    const changedBy = { ...shownTo, limits, scopeCeiling: settings.scopeCeiling }
    return [
      ...tagged('Usage', [...analyticsRoutes(shownTo), ...allowedIpsRoutes(shownTo)]),
      ...tagged('Events', feedRoutes({ ...followed, authenticateRequest: managers, stillGood })),
      ...tagged('Tokens', tokenRoutes({ ...changedBy, manage: useCases.manage, newTokenExample: example })),
      ...tagged('Rotation', rotationRoutes({ ...changedBy, rotations: useCases.rotations })),
    ]
  }
  const operatorsFor = (asked: Managers): Route[] =>
    operatorRoutes({
      ...shown,
      ...asked,
      feed: followed,
      log,
      manage: useCases.manage,
      revokeMany: useCases.revokeMany,
    })
  const tokens = tokensFor(requests)
  const operators = operatorsFor(requests)
  const { oauth, leaks } = machineRoutes(parts, useCases, requests, log)
  const { page, portalTable } = pageOf(parts, useCases, { requests, tokensFor, operatorsFor, log })
  const verify = verifyRoutes(authenticateRequest, settings.verifyRequestHeaders)
  const operations = operationRoutes({
    health,
    metrics: {
      contentType: metrics.registry.contentType,
      text: shared(() => metrics.registry.metrics()),
    },
    openapi: () => (description ??= describeAll()),
  })
  /** The paths at which `routes()` are mounted. */
  const prefixes = new Set<string>()
  let description: Buffer | null = null

  function describeAll(): Buffer {
    const mounted = prefixes.size === 0 ? tokens : [...prefixes].flatMap((at, i) => movedTo(at, tokens, i))
    const all = [
      ...mounted,
      ...tagged('Operators', operators),
      ...tagged('Page', portalTable),
      ...tagged('OAuth', oauth),
      ...tagged('Leaks', leaks),
      ...tagged('Authentication', verify),
      ...tagged('Operation', operations),
    ]
    return Buffer.from(JSON.stringify(describe(all, { version, tokenHeader: apiTokenHeader })))
  }

  function mount(options: RoutesOptions = {}): Middleware {
    const at = prefixOf(options)
    const moved = movedTo(at, tokens)
    prefixes.add(at)
    description = null
    return withCors(routerOf(moved, sendProblem), [at])
  }

  return {
    middleware: {
      authenticate: (how: AuthenticateOptions = {}) =>
        withCors(authenticateMiddleware(authenticateRequest, sendProblem, how), prefixes),
      requireScope: (scope: string) => requireScopeMiddleware(authenticateRequest, sendProblem, scope),
      routes: mount,
      operatorRoutes: () => operatorMiddleware(operators, requests.admitOperator, sendProblem),
      leakRoutes: () => routerOf(leaks, sendProblem),
      portalRoutes: () => routerOf(portalTable, sendProblem),
      page,
      oauthRoutes: () => routerOf(oauth, sendProblem),
      verifyRoutes: () => routerOf(verify, sendProblem),
      operationRoutes: (options: OperationOptions = {}) =>
        routerOf(shownOperations(operations, options), sendProblem),
      metricsRoutes: () =>
        routerOf(
          operations.filter(({ path }) => path === METRICS_PATH),
          sendProblem,
        ),
      observe: (write = toLog) => observer.middleware(write),
    },
    /** Counts uses as the routes do, and applies their limit of failures. */
    authenticate,
    drain() {
      streams.end()
      return observer.drain()
    },
    /** Streams would never end by themselves. */
    endStreams: streams.end,
    /** Logs how many lines were left out of the log so far. */
    close: refusals.close,
  }
}
