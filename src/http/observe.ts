import type { ServerResponse } from 'node:http'
import type { Middleware } from 'koa'
import type { RequestEntry } from '../application/ports/telemetry.ts'
import type { CallerAddress } from './callerAddress.ts'
import { NO_ADDRESS } from './lineQuota.ts'
import { atEnd, isKnown, requestStateOf } from './requestState.ts'

type Responded = (method: string, route: string, status: number, seconds: number) => void

export interface Observer {
  /** Reports each request once, at its end, to the log and the metrics. Neither gets a path, a query or a header. @throws TypeError */
  middleware(log: (entry: RequestEntry) => void): Middleware
  inFlight(): number
  /**
   * From now on every answer closes its connection, also answers to requests under way. Resolves when no request is
   * under way.
   */
  drain(): Promise<void>
}

export function createObserver(responded: Responded, addressOf: CallerAddress): Observer {
  const underWay = new Set<ServerResponse>()
  const waiting: (() => void)[] = []
  let draining = false

  const middleware: Observer['middleware'] = (log) => {
    if (typeof log !== 'function') throw new TypeError('observe(write): write must be a function')
    return function observe(ctx, next) {
      const started = performance.now()
      const { res } = ctx
      const state = requestStateOf(ctx)
      state.address = addressOf(ctx.req)
      underWay.add(res)
      if (!state.isOwnApp) res.setHeader('X-Request-Id', state.requestId)
      if (draining) res.setHeader('Connection', 'close')
      atEnd(ctx, state, () => {
        underWay.delete(res)
        if (underWay.size === 0) for (const drained of waiting.splice(0)) drained()
        const ms = performance.now() - started
        const { route, requestId, accepted, caller } = state
        const status = res.writableFinished ? res.statusCode : 499
        responded(ctx.method, route, status, ms / 1000)
        const principal = caller ?? accepted?.principal ?? null
        const address = isKnown(state) ? null : (state.address ?? NO_ADDRESS)
        log({ method: ctx.method, route, status, ms, requestId, principal, address })
      })
      const answering = next()
      // An answer that was sent at once has this header. It is not set before, since Node is slow to merge both ways.
      if (state.isOwnApp && !res.headersSent) res.setHeader('X-Request-Id', state.requestId)
      return answering
    }
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
