import type { ServerResponse } from 'node:http'
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
  /** From now on answers end their connections, those to requests under way too. Resolves when there is none. */
  drain(): Promise<void>
}

export function createObserver(responded: Responded, addressOf: CallerAddress): Observer {
  const underWay = new Set<ServerResponse>()
  const waiting: (() => void)[] = []
  let draining = false

  const middleware: Observer['middleware'] = (log) =>
    function observe(ctx, next) {
      const started = performance.now()
      const { res } = ctx
      const scope = scopeOf(ctx)
      scope.address = addressOf(ctx.req)
      underWay.add(res)
      res.setHeader('X-Request-Id', scope.requestId)
      if (draining) res.setHeader('Connection', 'close')
      atEnd(ctx, scope, () => {
        underWay.delete(res)
        if (underWay.size === 0) for (const drained of waiting.splice(0)) drained()
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
    inFlight: () => underWay.size,
    drain() {
      draining = true
      for (const res of underWay) if (!res.headersSent) res.setHeader('Connection', 'close')
      return new Promise((resolve) => {
        if (underWay.size === 0) resolve()
        else waiting.push(resolve)
      })
    },
  }
}
