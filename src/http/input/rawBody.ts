import type { Context } from 'koa'
import { HostError } from '../../application/ports/errors.ts'
import { Problem } from '../problem.ts'

/**
 * Reads the bytes of a body that nobody has read.
 * @param limit in bytes
 * @throws Problem 413 for a longer body, 400 for one that does not come whole; HostError if somebody has read it
 */
export async function readRaw({ req }: Context, limit: number): Promise<Buffer> {
  const tooLarge = () => new Problem('payload_too_large', `A body may have ${limit} bytes.`)
  if (Number(req.headers['content-length'] ?? 0) > limit) throw tooLarge()
  if (req.readableDidRead) throw new HostError(new Error('the body was read before this route'))
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const part of req as AsyncIterable<Buffer>) {
      size += part.length
      if (size > limit) throw tooLarge()
      parts.push(part)
    }
  } catch (error) {
    // Whoever has sent it has gone.
    throw error instanceof Problem ? error : new Problem('malformed_request', 'The body could not be read.')
  }
  return Buffer.concat(parts)
}
