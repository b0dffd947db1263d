import type { Context } from 'koa'
import { assertKnown, trueOrFalse } from '../knownOptions.ts'
import { setJsonHeaders } from '../jsonHeaders.ts'
import { type Route, sendJson } from '../route.ts'
import * as schemas from '../openapi/schemas.ts'
import { docsRoutes } from './docs.ts'

/** What the service says about itself. */
export interface Health {
  /** Does the event store answer? */
  eventStore: boolean
  /** Is it another event store than the one that was opened, or an older state of it? */
  isReplaced: boolean
  /** Does another process have the event store for itself? */
  isTaken: boolean
  readModel: boolean
  /** Is the read model lost, that is, was it dropped, emptied, or replaced by an older one? */
  isLost: boolean
  /** Can nobody say whether the read model has what other processes have written? */
  isBehind: boolean
  /** Do the stores accept writes, as far as is known? */
  writable: { eventStore: boolean; readModel: boolean }
  /** What somebody has to mend in the address, the rights or the certificate of a store: a sentence. Null: nothing known. */
  faults: { eventStore: string | null; readModel: string | null }
  /** By how many seconds the read model is behind the event store. */
  lag: number
  stopping: boolean
}

/** What of the routes is served. */
export interface OperationOptions {
  /** Default: true. */
  metrics?: boolean
}

export const METRICS_PATH = '/metrics'

/** @throws TypeError for options that are none */
export function shownOperations(operations: readonly Route[], options: OperationOptions): Route[] {
  assertKnown('operationRoutes', options, ['metrics'])
  const isShown = trueOrFalse('operationRoutes', 'metrics', options.metrics, true)
  return operations.filter(({ path }) => isShown || path !== METRICS_PATH)
}

/** Routes that machines ask for every few seconds. */
export const PROBES: ReadonlySet<string> = new Set(['/health/live', '/health/ready', METRICS_PATH])

interface Dependencies {
  health: () => Promise<Health>
  metrics: { contentType: string; text: () => Promise<string> }
  /** The description, as it is sent. */
  openapi: () => Buffer
}

/** A read model that is further behind than this would answer from the past. */
const MAX_LAG_SECONDS = 5

const stateOf = (answers: boolean, isWritable: boolean, fault: string | null): string => {
  if (fault !== null) return 'misconfigured'
  if (!answers) return 'unreachable'
  return isWritable ? 'ok' : 'not_writable'
}

function eventStoreState(isReplaced: boolean, isTaken: boolean): string | null {
  if (isReplaced) return 'replaced'
  return isTaken ? 'taken' : null
}

function readModelState(isLost: boolean, isBehind: boolean): string | null {
  if (isLost) return 'lost'
  return isBehind ? 'behind' : null
}

export function operationRoutes({ health, metrics, openapi }: Dependencies): Route[] {
  const live = (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    sendJson(ctx, { status: 'ok' })
  }

  const ready = async (ctx: Context) => {
    ctx.set('Cache-Control', 'no-store')
    const { eventStore, readModel, writable, faults, lag, ...found } = await health()
    const { isReplaced, isTaken, isLost, isBehind, stopping } = found
    const reason = faults.eventStore ?? faults.readModel
    // The process stays ready if the event store is down, or if a store accepts no writes, since authentication still
    // works. It does not stay ready once the read model has fallen behind because of that, or if somebody has to mend
    // something first.
    const isWrong = isReplaced || isTaken || isLost || isBehind || reason !== null || stopping
    const isReady = readModel && !isWrong && lag <= MAX_LAG_SECONDS
    ctx.status = isReady ? 200 : 503
    sendJson(ctx, {
      status: isReady ? 'ready' : 'not_ready',
      reason,
      checks: {
        event_store:
          eventStoreState(isReplaced, isTaken) ?? stateOf(eventStore, writable.eventStore, faults.eventStore),
        read_model:
          readModelState(isLost, isBehind) ?? stateOf(readModel, writable.readModel, faults.readModel),
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
      path: METRICS_PATH,
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
