import type { Post } from '../../application/ports/post.ts'
import { reasonOf } from './fetchJson.ts'

/** From the question to the head of the answer, in milliseconds. */
const PATIENCE_MS = 15_000

/** Only the head of an answer is read. A redirect is not followed: only who was named is told anything. */
export const post: Post = async (url, headers, body, signal) => {
  const late = AbortSignal.timeout(PATIENCE_MS)
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.any([late, signal]),
    })
    // A body may be long, or never end.
    await answer.body?.cancel()
    return { status: answer.status, retryAfter: answer.headers.get('retry-after') }
  } catch (error) {
    throw new Error(late.aborted ? `no answer within ${PATIENCE_MS} ms` : reasonOf(error), { cause: error })
  }
}
