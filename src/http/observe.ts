import type { Middleware } from 'koa'
import type { Logger } from '../application/ports.ts'
import { scopeOf } from './scope.ts'

interface Dependencies {
  log: Logger
  responded: (method: string, route: string, status: number, seconds: number) => void
}

export interface Observer {
  /** One log line and one observation for each request, at its end. Never a path, a query or a header. */
  middleware: Middleware
  inFlight(): number
  /** From now on answers end their connections. Resolves when no request is under way. */
  drain(): Promise<void>
}

export function createObserver({ log, responded }: Dependencies): Observer {
  let inFlight = 0
  let draining = false
  let drained = () => {}

  const middleware: Middleware = function observe(ctx, next) {
    const started = performance.now()
    const { res } = ctx
    const scope = scopeOf(ctx)
    inFlight++
    res.setHeader('X-Request-Id', scope.requestId)
    if (draining) res.setHeader('Connection', 'close')
    res.once('close', () => {
      inFlight--
      if (inFlight === 0) drained()
      const ms = performance.now() - started
      const { method } = ctx
      const { route, requestId, accepted } = scope
      // 499, as nginx has it: the caller went away before the answer.
      const status = res.writableFinished ? res.statusCode : 499
      responded(method, route, status, ms / 1000)
      const line = { method, route, status, ms: Math.round(ms * 1000) / 1000, requestId }
      if (accepted) {
        const { kind, accountId, tokenId } = accepted.principal
        log.info({ ...line, kind, accountId, tokenId }, 'request')
      } else {
        log.info(line, 'request')
      }
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
