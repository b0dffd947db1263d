import Koa, { type Context, type Middleware } from 'koa'
import type { Logger } from '../application/ports/telemetry.ts'
import { strangerOf } from './lineQuota.ts'
import { Problem, problemSender } from './problem.ts'
import { isKnown, requestStateOf } from './requestState.ts'

interface Parts {
  log: Logger
  observe: Middleware
  /** They are asked in this order. */
  routers: readonly Middleware[]
}

/** The service's own app. With the library, the host's app takes its place. */
export function createApp({ log, observe, routers }: Parts): Koa {
  const app = new Koa()
  const sendProblem = problemSender(log)
  app.on('error', (err, ctx?: Context) => {
    const who = ctx && !isKnown(requestStateOf(ctx)) ? strangerOf(ctx, 'response failed') : {}
    log.error({ err, ...who }, 'response failed')
  })
  app.use((ctx, next) => {
    requestStateOf(ctx).isOwnApp = true
    return observe(ctx, next)
  })
  for (const router of routers) app.use(router)
  app.use((ctx) => sendProblem(ctx, new Problem('not_found', 'There is nothing here.')))
  return app
}
