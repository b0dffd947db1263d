/** For one document, in milliseconds, from the question to the last byte. */
const PATIENCE_MS = 5_000
const MAX_BYTES = 64 * 1024

/**
 * Gets a JSON document of at most 64 KiB within 5 s. A redirect is not followed: only the server that was named may
 * answer.
 * @throws Error that says why there is none, without anything of what was answered
 */
export async function fetchJson(url: string, headers: Record<string, string> = {}): Promise<unknown> {
  const text = await fetchText(url, headers)
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`${url} is not JSON`)
  }
}

async function fetchText(url: string, headers: Record<string, string>): Promise<string> {
  try {
    const answer = await fetch(url, {
      headers: { Accept: 'application/json', ...headers },
      redirect: 'manual',
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    if (answer.status === 200) return await textOf(answer)
    await answer.body?.cancel()
    throw new Error(`it answers with status ${answer.status}`)
  } catch (error) {
    throw new Error(`${url} cannot be read: ${reasonOf(error)}`, { cause: error })
  }
}

async function textOf({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of body ?? []) {
    size += part.length
    if (size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** What `fetch` throws says nothing, and its cause does. */
export function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error
  if (name === 'TimeoutError') return `no answer within ${PATIENCE_MS} ms`
  if (!(cause instanceof Error)) return message
  return (cause as NodeJS.ErrnoException).code ?? cause.message
}
