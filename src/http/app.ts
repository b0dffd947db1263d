import Koa, { type Middleware } from 'koa'
import type { Logger } from '../application/ports.ts'
import { Problem, sendProblem } from './problem.ts'

interface Parts {
  log: Logger
  observe: Middleware
  /** In the order in which they are asked. */
  routers: readonly Middleware[]
}

/** The service's own app: what a host app would be for the library. */
export function createApp({ log, observe, routers }: Parts): Koa {
  const app = new Koa()
  app.on('error', (err) => log.error({ err }, 'response failed'))
  app.use(observe)
  for (const router of routers) app.use(router)
  app.use((ctx) => sendProblem(ctx, new Problem('not_found', 'There is nothing here.'), log))
  return app
}
