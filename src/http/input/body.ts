import type { IncomingMessage } from 'node:http'
import { koaBody } from 'koa-body'
import type { Context } from 'koa'
import { HostError } from '../../application/ports/errors.ts'
import { repeatedMember } from '../../domain/json.ts'
import { Problem } from '../problem.ts'

export const JSON_TYPES = ['application/json', 'application/merge-patch+json']
/** The largest length of most bodies, in bytes. */
const USUAL_LIMIT = 32 * 1024
/** The largest length of a `Content-Type`, in characters. */
const MAX_TYPE = 255

const parserOf = (limit: number) =>
  koaBody({
    jsonTypes: JSON_TYPES,
    jsonLimit: limit,
    // The schema decides whether the body must be an object.
    jsonStrict: false,
    text: false,
    urlencoded: false,
    multipart: false,
    includeUnparsed: true,
    parsedMethods: ['POST' as never, 'PATCH' as never],
    onError(error, ctx) {
      if (!readAnyway(ctx, error)) throw readProblem(error, limit)
    },
  })

/**
 * Reads the body. If a body parser of the host has read it, it is in `ctx.request.body`.
 * @throws Problem 400, 413 or 415 for a body that is not JSON in UTF-8 of at most 32 KiB; HostError if somebody has
 *   read the body and left nothing there
 */
export const readJson = jsonReader(USUAL_LIMIT)

/**
 * As `readJson`, for bodies of another length.
 * @param limit in bytes
 */
export function jsonReader(limit: number): (ctx: Context) => Promise<unknown> {
  const parse = parserOf(limit)
  return (ctx) => read(ctx, parse, limit)
}

async function read(ctx: Context, parse: ReturnType<typeof parserOf>, limit: number): Promise<unknown> {
  const { headers } = ctx.req
  if (!(await hasBody(ctx))) throw malformed('The body is empty.')
  if ((headers['content-type'] ?? '').length > MAX_TYPE || !ctx.request.is(JSON_TYPES))
    throw unsupported('Send application/json.')
  const charset = ctx.request.charset.toLowerCase()
  if (charset !== '' && charset !== 'utf-8' && charset !== 'utf8') throw unsupported('Send UTF-8.')
  // The header may say early that the body is too large. If it gives no length, the bytes are counted as they come.
  if (Number(headers['content-length'] ?? 0) > limit) throw tooLarge(limit)
  // A parser that does not know the type leaves a body of its own making, and does not touch the real one.
  if (ctx.req.readableDidRead) return leftByParser(ctx, limit)
  await parse(ctx, async () => {})
  const { body, rawBody } = ctx.request
  assertText(rawBody ?? '', limit)
  return body
}

/** As `readJson`, for a body of which every member has a default: without a body it is `{}`. */
export const readJsonOrNothing = async (ctx: Context): Promise<unknown> =>
  (await hasBody(ctx)) ? readJson(ctx) : {}

/**
 * Is there a body that is not empty? Without `Content-Length` only its first bytes, or its end, show it. They are waited
 * for, and not read.
 * @throws Problem 400 if neither comes
 */
async function hasBody({ req }: Context): Promise<boolean> {
  if (req.headers['transfer-encoding'] === undefined) return Number(req.headers['content-length'] ?? 0) > 0
  if (req.readableDidRead || req.readableEnded) return req.readableDidRead
  if (req.readableLength === 0) await arrival(req)
  if (req.readableLength > 0) return true
  if (!req.complete) throw malformed('The body could not be read.')
  return false
}

/** Resolves when some of a body can be read, or none will come. */
function arrival(req: IncomingMessage): Promise<void> {
  const events = ['readable', 'end', 'error', 'close']
  return new Promise((resolve) => {
    const onEvent = (): void => {
      for (const event of events) req.off(event, onEvent)
      resolve()
    }
    for (const event of events) req.on(event, onEvent)
    if (req.destroyed) onEvent()
  })
}

function leftByParser({ req, request }: Context, limit: number): unknown {
  const { body, rawBody } = request as { body?: unknown; rawBody?: unknown }
  const raw = textOf(rawBody)
  const isUnparsed =
    body === undefined ||
    body instanceof Uint8Array ||
    (typeof body === 'string' && (raw === null ? isWhole(body, req) : body === raw))
  const text = raw ?? (isUnparsed ? textOf(body) : null)
  if (text === null && body === undefined) throw new HostError(new Error(CONSUMED))
  if (text !== null) assertText(text, limit)
  return isUnparsed ? parseJson(text ?? '') : body
}

/**
 * Is a text the whole body, from a parser that leaves text as it is? Then it is as long as the body. A text that was
 * parsed from JSON is shorter, by its quotes. If nothing says how long the body was, the text counts as whole.
 */
function isWhole(text: string, { headers }: IncomingMessage): boolean {
  const length = headers['content-encoding'] === undefined ? headers['content-length'] : undefined
  return length === undefined || Buffer.byteLength(text) === Number(length)
}

const CONSUMED =
  'the body was read before ledger.routes() and not left in ctx.request.body: put ledger.routes() in front of what ' +
  'reads it, or use a body parser that leaves it there'

function textOf(value: unknown): string | null {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8')
  return typeof value === 'string' ? value : null
}

/** Checks what only the text can show. */
function assertText(text: string, limit: number): void {
  if (Buffer.byteLength(text) > limit) throw tooLarge(limit)
  if (text === '') throw malformed('The body is empty.')
  if (text.includes('\uFFFD')) throw malformed('The body is not UTF-8.')
  // Nobody can know which of the two is meant, and a program that logs or checks the body may use the other one.
  if (repeatedMember(text) !== null) throw malformed('An object in the body has a member twice.')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw malformed('The body is not valid JSON.')
  }
}

/** The parser refuses `__proto__`, but that is valid JSON: a member that the schema does not know, like any other. */
function readAnyway({ request }: Context, { body: text }: Error & { body?: unknown }): boolean {
  if (typeof text !== 'string') return false
  try {
    request.body = JSON.parse(text)
    request.rawBody = text
    return true
  } catch {
    return false
  }
}

/** The parser's errors contain the body, so only their kind is kept. */
function readProblem(
  error: Error & { type?: string; status?: number; code?: string },
  limit: number,
): Problem {
  if (error.status === 413 || error.type === 'entity.too.large') return tooLarge(limit)
  if (error.status === 415) return unsupported('This Content-Encoding is not read.')
  if (error instanceof SyntaxError || error.name === 'SyntaxError')
    return malformed('The body is not valid JSON.')
  return malformed('The body could not be read.')
}

const malformed = (detail: string) => new Problem('malformed_request', detail)
const unsupported = (detail: string) => new Problem('unsupported_media_type', detail)
const tooLarge = (limit: number) => new Problem('payload_too_large', `A body may have ${limit} bytes.`)
