import type { Context } from 'koa'
import { setJsonHeaders } from '../jsonHeaders.ts'
import { type Route, sendJson } from '../route.ts'
import * as schemas from '../openapi/schemas.ts'
import { docsRoutes } from './docs.ts'

/** What the service says about itself. */
export interface Health {
  /** Does the store answer? */
  eventStore: boolean
  /** It is another event store than the one that was opened, or an older one. */
  isReplaced: boolean
  readModel: boolean
  /** It is not what it was: dropped, emptied, or an older one. */
  isLost: boolean
  /** Does it take what is written, as far as is known? */
  writable: { eventStore: boolean; readModel: boolean }
  /** Seconds that the read model is behind the event store. */
  lag: number
  stopping: boolean
}

interface Dependencies {
  health: () => Promise<Health>
  metrics: { contentType: string; text: () => Promise<string> }
  /** The description as it is sent. */
  openapi: () => Buffer
}

/** A read model further behind than this serves the past. */
const MAX_LAG_SECONDS = 5

const stateOf = (answers: boolean, isWritable: boolean): string => {
  if (!answers) return 'unreachable'
  return isWritable ? 'ok' : 'not_writable'
}

export function operationRoutes({ health, metrics, openapi }: Dependencies): Route[] {
  const live = (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    sendJson(ctx, { status: 'ok' })
  }

  const ready = async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    const { eventStore, isReplaced, readModel, isLost, writable, lag, stopping } = await health()
    // An event store that is down, or a store that takes no writes, is no reason to take the process away:
    // authentication goes on without. A read model that has fallen behind for it is.
    const isReady = readModel && !isReplaced && !isLost && lag <= MAX_LAG_SECONDS && !stopping
    ctx.status = isReady ? 200 : 503
    sendJson(ctx, {
      status: isReady ? 'ready' : 'not_ready',
      checks: {
        event_store: isReplaced ? 'replaced' : stateOf(eventStore, writable.eventStore),
        read_model: isLost ? 'lost' : stateOf(readModel, writable.readModel),
        projector: { lag_seconds: lag },
        service: stopping ? 'stopping' : 'running',
      },
    })
  }

  const scrape = async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    ctx.body = await metrics.text()
    ctx.set('Content-Type', metrics.contentType)
  }

  const describe = (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    ctx.set('Content-Type', 'application/json; charset=utf-8')
    setJsonHeaders(ctx.res)
    ctx.body = openapi()
  }

  const open = { method: 'get' as const, who: 'open' as const, problems: [] }
  return [
    {
      ...open,
      path: '/health/live',
      operationId: 'live',
      summary: 'Is the process up?',
      answers: { 200: { description: 'Yes.', schema: schemas.refTo('Liveness') } },
      handle: live,
    },
    {
      ...open,
      path: '/health/ready',
      operationId: 'ready',
      summary: 'Can it serve? Stores and projector lag',
      answers: {
        200: { description: 'Yes.', schema: schemas.refTo('Readiness') },
        503: { description: 'Not now.', schema: schemas.refTo('Readiness') },
      },
      handle: ready,
    },
    {
      ...open,
      path: '/metrics',
      operationId: 'metrics',
      summary: 'Prometheus metrics',
      answers: {
        200: { description: 'Text exposition format.', type: 'text/plain', schema: { type: 'string' } },
      },
      handle: scrape,
    },
    {
      ...open,
      path: '/openapi.json',
      operationId: 'openapi',
      summary: 'This description',
      answers: { 200: { description: 'OpenAPI 3.1.', schema: { type: 'object' } } },
      handle: describe,
    },
    ...docsRoutes(),
  ]
}
