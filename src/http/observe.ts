import type { Middleware } from 'koa'
import type { RequestEntry } from '../application/ports/telemetry.ts'
import type { CallerAddress } from './callerAddress.ts'
import { NO_ADDRESS } from './lineQuota.ts'
import { atEnd, scopeOf } from './requestState.ts'

type Responded = (method: string, route: string, status: number, seconds: number) => void

export interface Observer {
  /** One entry for the log and one observation for each request, at its end. Never a path, a query or a header. */
  middleware(log: (entry: RequestEntry) => void): Middleware
  inFlight(): number
  /** From now on answers end their connections. Resolves when no request is under way. */
  drain(): Promise<void>
}

export function createObserver(responded: Responded, addressOf: CallerAddress): Observer {
  let inFlight = 0
  let draining = false
  let drained = () => {}

  const middleware: Observer['middleware'] = (log) =>
    function observe(ctx, next) {
      const started = performance.now()
      const { res } = ctx
      const scope = scopeOf(ctx)
      scope.address = addressOf(ctx.req)
      inFlight++
      res.setHeader('X-Request-Id', scope.requestId)
      if (draining) res.setHeader('Connection', 'close')
      atEnd(ctx, scope, () => {
        inFlight--
        if (inFlight === 0) drained()
        const ms = performance.now() - started
        const { route, requestId, accepted } = scope
        const status = res.writableFinished ? res.statusCode : 499
        responded(ctx.method, route, status, ms / 1000)
        const principal = accepted?.principal ?? null
        const address = accepted ? null : (scope.address ?? NO_ADDRESS)
        log({ method: ctx.method, route, status, ms, requestId, principal, address })
      })
      return next()
    }

  return {
    middleware,
    inFlight: () => inFlight,
    drain() {
      draining = true
      return new Promise((resolve) => {
        drained = resolve
        if (inFlight === 0) resolve()
      })
    },
  }
}
