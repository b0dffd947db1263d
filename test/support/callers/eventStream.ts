/** An event of a stream, as it came: `id` and the parsed `data`. */
export interface StreamedEvent {
  id: string
  data: Record<string, unknown>
}

export interface OpenStream {
  status: number
  headers: Headers
  /** The next event. Rejects if the stream ends before. */
  next(): Promise<StreamedEvent>
  /** How many comments came so far. */
  comments(): number
  /** Resolves when the stream has ended, in whatever way. */
  ended: Promise<void>
  close(): void
}

/** Opens a stream of server-sent events, and reads it to its end. */
export async function openStream(url: string, headers: Record<string, string>): Promise<OpenStream> {
  const closing = new AbortController()
  const answer = await fetch(url, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: closing.signal,
  })
  const events: StreamedEvent[] = []
  const waiting: { resolve(event: StreamedEvent): void; reject(error: Error): void }[] = []
  let [comments, hasEnded, rest] = [0, false, '']

  function take(block: string): void {
    if (block.startsWith(':')) return void comments++
    const lines = new Map(
      block.split('\n').map((line) => [line.split(':', 1)[0] ?? '', line.replace(/^\w+: ?/, '')]),
    )
    const event = { id: lines.get('id') ?? '', data: JSON.parse(lines.get('data') ?? '') as object }
    const reader = waiting.shift()
    if (reader) reader.resolve(event as StreamedEvent)
    else events.push(event as StreamedEvent)
  }

  async function read(): Promise<void> {
    if (answer.headers.get('content-type')?.startsWith('text/event-stream') !== true) return
    const decoder = new TextDecoder()
    for await (const piece of answer.body as AsyncIterable<Uint8Array>) {
      const blocks = (rest + decoder.decode(piece, { stream: true })).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) take(block)
    }
  }

  const end = (): void => {
    hasEnded = true
    for (const reader of waiting.splice(0)) reader.reject(new Error('the stream has ended'))
  }
  const ended = read().then(end, end)
  return {
    status: answer.status,
    headers: answer.headers,
    next: () =>
      new Promise((resolve, reject) => {
        const event = events.shift()
        if (event) resolve(event)
        else if (hasEnded) reject(new Error('the stream has ended'))
        else waiting.push({ resolve, reject })
      }),
    comments: () => comments,
    ended,
    close: () => closing.abort(),
  }
}
