import type { ServerResponse } from 'node:http'
import type { Context } from 'koa'
import { setJsonHeaders } from './jsonHeaders.ts'
import { Problem } from './problem.ts'
import { requestStateOf } from './requestState.ts'

/** All in milliseconds. */
export interface StreamTimes {
  /** How often a comment is sent, so that nobody in between takes the connection for dead. */
  commentMs: number
  /** How often it is asked whether the credential is still good. */
  checkMs: number
  /** How long a reader may take until there is room for more. */
  slowMs: number
  /** The pause after a read that failed. */
  retryMs: number
}

export const STREAM_TIMES: StreamTimes = {
  commentMs: 15_000,
  checkMs: 60_000,
  slowMs: 30_000,
  retryMs: 1_000,
}

/** How many streams one account may have at a time, in one process. */
const MOST_EACH = 10

/** Of streams that are open, and not of requests in a time (draft-ietf-httpapi-ratelimit-headers). */
const EXCEEDED = {
  'RateLimit-Policy': `"streams";q=${MOST_EACH};qu="concurrent-requests"`,
  RateLimit: '"streams";r=0',
  'Retry-After': '5',
}

/** The streams that are open. */
export interface EventStreams {
  /**
   * @param end called when the stream has to end
   * @returns a function that takes it out again
   * @throws Problem 429 if the account has its number of streams
   */
  enter(accountId: string, end: () => void): () => void
  /** Ends all of them, and those that come later. */
  end(): void
}

export function createEventStreams(): EventStreams {
  const open = new Map<string, Set<() => void>>()
  let isEnding = false
  return {
    enter(accountId, end) {
      const own = open.get(accountId) ?? new Set()
      if (own.size >= MOST_EACH) {
        const detail = `The account has ${MOST_EACH} streams already: close one of them.`
        throw new Problem('rate_limited', detail, { headers: EXCEEDED })
      }
      open.set(accountId, own.add(end))
      if (isEnding) end()
      return () => {
        own.delete(end)
        if (own.size === 0) open.delete(accountId)
      }
    },
    end() {
      isEnding = true
      for (const own of open.values()) for (const end of own) end()
    },
  }
}

/** Begins an answer of server-sent events (HTML, §9.2). From here on nothing else may answer the request. */
export function beginStream(ctx: Context): void {
  const { res } = ctx
  ctx.respond = false
  ctx.status = 200
  setJsonHeaders(res)
  res.setHeader('Content-Type', 'text/event-stream; charset=utf-8')
  // nginx would keep events back until they fill a buffer.
  res.setHeader('X-Accel-Buffering', 'no')
  res.setHeader('X-Request-Id', requestStateOf(ctx).requestId)
  res.write(COMMENT)
}

export const COMMENT = ':\n\n'

/** @param data JSON has no line ends */
export const eventBlock = (id: string, data: object): string => `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`

/**
 * Writes, and waits until there is room for more.
 * @returns false if the reader is too slow, or the stream has ended
 */
export function written(
  res: ServerResponse,
  text: string,
  slowMs: number,
  end: AbortSignal,
): Promise<boolean> {
  if (end.aborted || res.destroyed) return Promise.resolve(false)
  if (res.write(text)) return Promise.resolve(true)
  return new Promise((resolve) => {
    const done = (hasRoom: boolean) => () => {
      clearTimeout(late)
      res.off('drain', drained)
      end.removeEventListener('abort', ended)
      resolve(hasRoom)
    }
    const [drained, ended] = [done(true), done(false)]
    const late = setTimeout(ended, slowMs)
    res.once('drain', drained)
    end.addEventListener('abort', ended)
  })
}
