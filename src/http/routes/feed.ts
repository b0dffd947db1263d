import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from 'koa'
import {
  areOfOneStore,
  BEGINNING,
  type Feed,
  type FeedPage,
  isPosition,
} from '../../application/feed/feed.ts'
import type { FeedWatch } from '../../application/feed/watch.ts'
import type { Clock } from '../../application/ports/clock.ts'
import { StoreUnavailableError } from '../../application/ports/errors.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { Asker, Gate } from '../../application/scheduling/gate.ts'
import { MANAGEMENT_PATH as TOKENS } from '../../domain/managementPath.ts'
import { isLifecycleType, LIFECYCLE_TYPES } from '../../domain/tokenEvents.ts'
import { presentFeedEvent } from '../../presentation/feed.ts'
import type { AuthenticateRequest } from '../authentication/authenticate.ts'
import { askerOf, queryOf, readingWith } from '../authentication/authenticated.ts'
import type { StillGood } from '../authentication/stillGood.ts'
import {
  beginStream,
  COMMENT,
  eventBlock,
  type EventStreams,
  STREAM_TIMES,
  type StreamTimes,
  written,
} from '../eventStream.ts'
import { invalid, queryValidator } from '../input/validate.ts'
import { eventStream, feedQuery } from '../openapi/events.ts'
import { refTo } from '../openapi/schemas.ts'
import { Problem, tokenMayNot } from '../problem.ts'
import { type Route, sendJson } from '../route.ts'

export interface FeedDependencies {
  reads: Gate
  feed: Pick<Feed, 'read'>
  watch: FeedWatch
  streams: EventStreams
  clock: Clock
  log: Pick<Logger, 'error'>
  times?: StreamTimes
}

/** Who reads the feed. */
export interface FeedReader {
  /** Null: of all accounts. */
  accountId: string | null
  /** Whose streams are counted together. */
  name: string
  asker: Asker
  /** When the credential expires, in milliseconds since 1970. Default: never. */
  expiresAt?: number | undefined
  /** Would the credential be accepted now? */
  isStillGood: () => Promise<boolean>
}

interface Asked {
  after: string
  types: ReadonlySet<string> | null
}

const parseFeed = queryValidator<{ after?: string; types?: string; limit: number }>(feedQuery)
/** How many events a stream reads at once. */
const STREAMED = 100
const EVENT_STREAM = 'text/event-stream'

/** Answers with the events of tokens, page by page or as they come. */
export function feedHandler(deps: FeedDependencies) {
  const { reads, watch, streams, clock, log, times = STREAM_TIMES } = deps

  const read = (
    { accountId, asker }: FeedReader,
    asked: Asked,
    limit: number,
    signal: AbortSignal,
  ): Promise<FeedPage> => reads.run(() => deps.feed.read({ accountId, ...asked, limit }, signal), asker)

  /** Ends the stream when its credential would be refused. @returns a function that stops looking */
  function watchCredential(
    { expiresAt = Number.POSITIVE_INFINITY, isStillGood }: FeedReader,
    end: () => void,
  ): () => void {
    let timer: NodeJS.Timeout | null = null
    const next = () =>
      setTimeout(() => void check(), Math.min(times.checkMs, Math.max(0, expiresAt - clock())))
    async function check(): Promise<void> {
      const isGood = await isStillGood()
      if (timer === null) return
      if (isGood) timer = next()
      else end()
    }
    timer = next()
    return () => {
      clearTimeout(timer ?? undefined)
      timer = null
    }
  }

  /** As `read`, but waits while the store that it reads cannot be reached. Null if the stream has ended. */
  async function readOn(reader: FeedReader, asked: Asked, signal: AbortSignal): Promise<FeedPage | null> {
    while (!signal.aborted) {
      try {
        return await read(reader, asked, STREAMED, signal)
      } catch (error) {
        if (!signal.aborted && !(error instanceof StoreUnavailableError)) throw error
        await sleep(times.retryMs, undefined, { signal }).catch(() => {})
      }
    }
    return null
  }

  async function stream(ctx: Context, reader: FeedReader, asked: Asked, gone: AbortSignal): Promise<void> {
    const { res } = ctx
    const ending = new AbortController()
    const { signal } = ending
    let wakeUp = (): void => {}
    let isNew = false
    const end = () => {
      ending.abort()
      wakeUp()
    }
    const announced = () => {
      isNew = true
      wakeUp()
    }
    const leave = streams.enter(reader.name, end)
    const unfollow = watch.follow(reader.accountId, announced)
    const unwatch = watchCredential(reader, end)
    gone.addEventListener('abort', end)
    const commenting = setInterval(() => {
      if (res.headersSent && !res.writableNeedDrain) res.write(COMMENT)
    }, times.commentMs)
    try {
      // The first page is read before the answer begins, so that an outage is still a 503.
      let page: FeedPage | null = await read(reader, asked, STREAMED, gone)
      if (!areOfOneStore(asked.after, page.end)) throw resumedFrom(ctx) === null ? noPosition() : noId()
      beginStream(ctx)
      for (let { after } = asked; page; page = await readOn(reader, { ...asked, after }, signal)) {
        for (const event of page.data) {
          const block = eventBlock(event.position, presentFeedEvent(event))
          if (!(await written(res, block, times.slowMs, signal))) return
        }
        const isEnd = page.next === after
        after = page.next
        if (isEnd && !isNew && !signal.aborted) await new Promise<void>((resolve) => (wakeUp = resolve))
        isNew = false
      }
    } catch (err) {
      if (!res.headersSent) throw err
      log.error({ err }, 'a stream of events was cut off')
    } finally {
      clearInterval(commenting)
      gone.removeEventListener('abort', end)
      unwatch()
      unfollow()
      leave()
      if (res.headersSent) finish(ctx, signal)
    }
  }

  return async (ctx: Context, reader: FeedReader, gone: AbortSignal): Promise<void> => {
    const { limit, types, after = BEGINNING } = parseFeed(queryOf(ctx))
    if (!isPosition(after)) throw noPosition()
    const asked = { after, types: typesOf(types) }
    ctx.vary('Accept')
    if (wantsStream(ctx)) return stream(ctx, reader, { ...asked, after: resumedFrom(ctx) ?? after }, gone)
    const { data, next, end } = await read(reader, asked, limit, gone)
    if (!areOfOneStore(after, end)) throw noPosition()
    sendJson(ctx, { data: data.map(presentFeedEvent), next })
  }
}

/** What a route to a feed has, for accounts and for operators. */
export const feedRow = {
  method: 'get',
  query: feedQuery,
  headers: { 'Last-Event-ID': 'For a stream: the position to go on behind. It wins over `after`.' },
  answers: {
    200: {
      description: 'One page; with `Accept: text/event-stream` server-sent events that go on.',
      content: {
        'application/json': refTo('FeedPage'),
        [EVENT_STREAM]: eventStream,
      },
    },
  },
  problems: ['malformed_request'],
} as const

interface AccountDependencies extends FeedDependencies {
  authenticateRequest: AuthenticateRequest
  stillGood: StillGood
}

/** The feed of an account. It has to come before the routes with `/:id`. */
export function feedRoutes({ authenticateRequest, stillGood, ...deps }: AccountDependencies): Route[] {
  const answer = feedHandler(deps)
  const handle = readingWith(authenticateRequest)(async (ctx, accepted, gone) => {
    const { kind, accountId } = accepted.principal
    if (kind === 'token') throw tokenMayNot('To follow what happens to tokens')
    const { expiresAt } = accepted
    const isStillGood = () => stillGood(ctx, accepted)
    await answer(ctx, { accountId, name: accountId, asker: askerOf(accepted), expiresAt, isStillGood }, gone)
  })

  return [
    {
      ...feedRow,
      path: `${TOKENS}/events`,
      operationId: 'accountEvents',
      summary: "What happened to the account's tokens, in the order of the log: a page, or as it happens",
      who: 'jwt',
      handle,
    },
  ]
}

/** A reader that is too slow is cut off, since what waits for it would be sent to nobody else. */
function finish({ res }: Context, signal: AbortSignal): void {
  if (signal.aborted && !res.writableNeedDrain) res.end()
  else res.destroy()
}

/** A HEAD request has no body, and so no stream. */
const wantsStream = (ctx: Context): boolean =>
  ctx.method === 'GET' && ctx.accepts('application/json', EVENT_STREAM) === EVENT_STREAM

function resumedFrom({ req }: Context): string | null {
  const id = req.headers['last-event-id']
  if (typeof id !== 'string' || id === '') return null
  if (isPosition(id)) return id
  throw noId()
}

const noId = () =>
  new Problem('malformed_request', 'Last-Event-ID must be what an id: line of this stream has.')
const noPosition = () =>
  invalid([
    { pointer: '?after', message: 'must be the next of a page, or what an id: line of the stream has' },
  ])

function typesOf(text: string | undefined): ReadonlySet<string> | null {
  if (text === undefined) return null
  const types = text.split(',')
  if (types.every(isLifecycleType)) return new Set(types)
  const message = `must be types of events, separated by commas, out of ${LIFECYCLE_TYPES.join(', ')}`
  throw invalid([{ pointer: '?types', message }])
}
