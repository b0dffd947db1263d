/** The head of an answer. */
export interface Posted {
  status: number
  /** The header `Retry-After`, as it came. */
  retryAfter: string | null
}

/**
 * Sends a POST request, and waits for the head of the answer for some seconds.
 * @throws Error whose message says in a few words why there is none, without anything of the request
 */
export type Post = (
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
) => Promise<Posted>
