import { koaBody } from 'koa-body'
import type { Context } from 'koa'
import { repeatedMember } from '../../domain/json.ts'
import { Problem } from '../problem.ts'

const JSON_TYPES = ['application/json', 'application/merge-patch+json']
const LIMIT = 32 * 1024
/** Characters of a `Content-Type`. */
const MAX_TYPE = 255

const parse = koaBody({
  jsonTypes: JSON_TYPES,
  jsonLimit: LIMIT,
  // Whether it is an object is the schema's question.
  jsonStrict: false,
  text: false,
  urlencoded: false,
  multipart: false,
  includeUnparsed: true,
  parsedMethods: ['POST' as never, 'PATCH' as never],
  onError(error, ctx) {
    if (!readAnyway(ctx, error)) throw readProblem(error)
  },
})

/** @throws Problem 400, 413 or 415 for a body that is not JSON in UTF-8 of at most 32 KiB */
export async function readJson(ctx: Context): Promise<unknown> {
  const { headers } = ctx.req
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  if (!hasBody) throw malformed('The body is empty.')
  if ((headers['content-type'] ?? '').length > MAX_TYPE || !ctx.request.is(JSON_TYPES))
    throw unsupported('Send application/json.')
  const charset = ctx.request.charset.toLowerCase()
  if (charset !== '' && charset !== 'utf-8' && charset !== 'utf8') throw unsupported('Send UTF-8.')
  // The header says so early; a body that says nothing of its length is counted as it comes.
  if (Number(headers['content-length'] ?? 0) > LIMIT) throw tooLarge()
  await parse(ctx, async () => {})
  const { body, rawBody } = ctx.request
  if (rawBody === undefined || rawBody === '') throw malformed('The body is empty.')
  if (rawBody.includes('\uFFFD')) throw malformed('The body is not UTF-8.')
  // Which of them is meant nobody can tell, and whoever logs or checks the body may take another one than we do.
  if (repeatedMember(rawBody) !== null) throw malformed('An object in the body has a member twice.')
  return body
}

/** The parser stops at `__proto__`, which is JSON: a member like any other that the schema does not know. */
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

/** The parser's errors carry the body: only their kind is kept. */
function readProblem(error: Error & { type?: string; status?: number; code?: string }): Problem {
  if (error.status === 413 || error.type === 'entity.too.large') return tooLarge()
  if (error.status === 415) return unsupported('This Content-Encoding is not read.')
  if (error instanceof SyntaxError || error.name === 'SyntaxError')
    return malformed('The body is not valid JSON.')
  return malformed('The body could not be read.')
}

const malformed = (detail: string) => new Problem('malformed_request', detail)
const unsupported = (detail: string) => new Problem('unsupported_media_type', detail)
const tooLarge = () => new Problem('payload_too_large', `A body may have ${LIMIT} bytes.`)
