import { shared } from '../application/health/answers.ts'
import type { RequestEntry } from '../application/ports/telemetry.ts'
import { createTokenAt } from '../application/tokens/asOf.ts'
import {
  type AuthenticateOptions,
  authenticateMiddleware,
  createJudge,
  requireScopeMiddleware,
} from '../http/authentication/authenticate.ts'
import { credentialReader } from '../http/authentication/credential.ts'
import { callerAddress } from '../http/callerAddress.ts'
import { createCors } from '../http/cors.ts'
import { createLineQuota, withQuota } from '../http/lineQuota.ts'
import { createObserver } from '../http/observe.ts'
import { describe } from '../http/openapi/describe.ts'
import { createRateLimit } from '../http/rateLimit.ts'
import { type Route, routerOf } from '../http/route.ts'
import { analyticsRoutes } from '../http/routes/analytics.ts'
import { type Health, operationRoutes } from '../http/routes/operations.ts'
import { tokenRoutes } from '../http/routes/tokens.ts'
import { verifyRoutes } from '../http/routes/verify.ts'
import { version } from '../version.ts'
import type { Parts, UseCases } from './parts.ts'

/** What is served over HTTP, with its limits and its description. */
export function httpOf(parts: Parts, useCases: UseCases, health: () => Promise<Health>) {
  const { settings, clock, metrics, recorder } = parts
  const refusals = createLineQuota(metrics.log, 'refusals of one address in summary')
  const log = withQuota(metrics.log, refusals)
  const toLog = ({ method, route, status, ms, requestId, principal }: RequestEntry): void =>
    metrics.log.info({ method, route, status, ms, requestId, principal }, 'request')
  const addressOf = callerAddress({ hops: settings.trustProxyHops, from: settings.trustProxyFrom })
  const observer = createObserver(metrics.responded, addressOf)
  metrics.gauge('requests_in_flight', 'Requests under way.', observer.inFlight)

  const { tokenPrefix: prefix, apiTokenHeader } = settings
  const judge = createJudge({
    authenticator: useCases.authenticator,
    readCredential: credentialReader(apiTokenHeader, prefix, settings.acceptLegacyTokens),
    addressOf,
    recorder,
    failures: createRateLimit('failures', settings.rateLimitFailuresPerMinute),
    strict: settings.auditMode === 'strict',
    now: clock,
    log,
  })

  const withCors = createCors(settings.corsOrigins, apiTokenHeader)
  const shownTo = { judge, reads: parts.gates.reads, queries: useCases.queries, clock }
  const tokens: Route[] = [
    ...analyticsRoutes(shownTo),
    ...tokenRoutes({
      ...shownTo,
      manage: useCases.manage,
      tokenAt: createTokenAt(parts.guard.store, log),
      writes: createRateLimit('writes', settings.rateLimitWritesPerMinute),
    }),
  ]
  const verify = verifyRoutes(judge, settings.verifyRequestHeaders)
  const operations = operationRoutes({
    health,
    metrics: {
      contentType: metrics.registry.contentType,
      text: shared(() => metrics.registry.metrics()),
    },
    openapi: () => description,
  })
  const routes = [...tokens, ...verify, ...operations]
  const description: Buffer = Buffer.from(
    JSON.stringify(describe(routes, { version, tokenHeader: apiTokenHeader })),
  )

  return {
    middleware: {
      authenticate: (how: AuthenticateOptions = {}) => withCors(authenticateMiddleware(judge, log, how)),
      requireScope: (scope: string) => requireScopeMiddleware(judge, log, scope),
      routes: () => withCors(routerOf(tokens, log)),
      verifyRoutes: () => routerOf(verify, log),
      operationRoutes: () => routerOf(operations, log),
      observe: (write = toLog) => observer.middleware(write),
    },
    drain: observer.drain,
    /** Tells what the log was spared so far. */
    close: refusals.close,
  }
}
