import { constants, openSync, write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'

/**
 * Standard output or standard error, written without ever waiting for its reader. Lines that cannot be written yet wait
 * here, up to a limit. Lines that fail (a full disk, a reader that has gone) or exceed the limit are lost. They are
 * counted, and a line of its own says so as soon as lines can be written again.
 */
export interface Output {
  /** Takes whole lines. */
  put(text: string): void
  /** How many lines were lost so far. */
  lost(): number
  /** How many bytes wait to be written. */
  waiting(): number
  /** Resolves when all is written, or after so many milliseconds. */
  drained(withinMs: number): Promise<void>
  /** Writes what waits, and these lines, at once, as far as that is possible. For the end of the process. */
  lastWords(text: string): void
}

interface Piece {
  bytes: Buffer
  /** The number of lost lines that this notice announces; 0 for ordinary lines. */
  announces: number
}

/** In bytes. It holds some seconds of log at full load. */
const MOST_WAITING = 1024 * 1024
/** The pause before an output that is full for now is tried again. It doubles from the first value to the longest. */
const RETRY_MS = { first: 5, longest: 250 }
/** The pause before an output is tried again that refused a write. */
const REFUSED_RETRY_MS = 250
/** How long the end of the process is delayed at most, for lines that cannot be written at once. */
const LAST_WORDS_MS = 200
const LATER = new Set(['EAGAIN', 'EWOULDBLOCK', 'EINTR', 'EBUSY'])
const LINE_END = 10

/** @param noticeOf a whole line that says how many lines were lost */
export function createOutput(fd: 1 | 2, noticeOf: (lost: number) => string): Output {
  const target = withoutWaiting(fd)
  let queue: Piece[] = []
  let waiting = 0
  let isWriting = false
  let retry: NodeJS.Timeout | null = null
  let pause = RETRY_MS.first
  let lost = 0
  /** How many of those were not announced yet. */
  let unannounced = 0
  /** Does the output end in half a line, since the rest was lost? */
  let isTorn = false

  function push(bytes: Buffer, announces = 0): void {
    queue.push({ bytes, announces: announces })
    waiting += bytes.length
  }

  function announceLoss(): void {
    if (unannounced === 0) return
    push(Buffer.from((isTorn ? '\n' : '') + noticeOf(unannounced)), unannounced)
    unannounced = 0
  }

  function lose(lines: number): void {
    lost += lines
    unannounced += lines
  }

  /** Gives up all that waits, since nothing can be written now. Later lines may succeed. */
  function loseAll(): void {
    for (const { bytes, announces } of queue) {
      if (announces > 0) unannounced += announces
      else lose(linesIn(bytes))
    }
    queue = []
    waiting = 0
  }

  function advance(): void {
    if (isWriting || retry) return
    if (queue.length === 0) announceLoss()
    const [piece] = queue
    if (!piece) return
    isWriting = true
    write(target, piece.bytes, (error, bytes) => {
      isWriting = false
      if (error) refused(error)
      else written(bytes)
    })
  }

  function written(count: number): void {
    pause = RETRY_MS.first
    took(count)
    advance()
  }

  function took(count: number): void {
    const [piece] = queue
    if (!piece) return
    if (count > 0) isTorn = piece.bytes[count - 1] !== LINE_END
    waiting -= count
    piece.bytes = piece.bytes.subarray(count)
    if (piece.bytes.length === 0) queue.shift()
  }

  function refused(error: NodeJS.ErrnoException): void {
    if (LATER.has(error.code ?? '')) {
      again(pause)
      pause = Math.min(pause * 2, RETRY_MS.longest)
    } else {
      loseAll()
      again(REFUSED_RETRY_MS)
    }
  }

  function again(afterMs: number): void {
    retry = setTimeout(() => {
      retry = null
      advance()
    }, afterMs)
    retry.unref()
  }

  return {
    put(text) {
      const bytes = Buffer.from(text)
      if (waiting + bytes.length > MOST_WAITING) {
        lose(linesIn(bytes))
        return
      }
      announceLoss()
      push(bytes)
      advance()
    },
    lost: () => lost,
    waiting: () => waiting,
    async drained(withinMs) {
      const giveUpAt = performance.now() + withinMs
      while (queue.length > 0 && performance.now() < giveUpAt) await sleep(RETRY_MS.first)
    },
    lastWords(text) {
      const giveUpAt = performance.now() + LAST_WORDS_MS
      // A write that is under way is left to its thread, since its callback will not be called any more.
      if (isWriting) queue.shift()
      announceLoss()
      push(Buffer.from(text))
      while (queue[0] && performance.now() < giveUpAt) {
        try {
          took(writeSync(target, queue[0].bytes))
        } catch (error) {
          if (!LATER.has((error as NodeJS.ErrnoException).code ?? '')) return
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS.first)
        }
      }
    },
  }
}

function linesIn(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(LINE_END); at >= 0; at = bytes.indexOf(LINE_END, at + 1)) count++
  return count
}

/**
 * A descriptor for the same output on which writes do not block, since a blocked thread would keep the process from
 * ending. A terminal is opened again for this, since its mode is shared with other programs. Pipes and sockets are made
 * non-blocking by Node when it makes their stream, which reading `process.stdout` does. Files never block.
 */
function withoutWaiting(fd: 1 | 2): number {
  if (!isatty(fd)) {
    void (fd === 1 ? process.stdout : process.stderr)
    return fd
  }
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
    return openSync(fd === 1 ? '/dev/stdout' : '/dev/stderr', O_WRONLY | O_NONBLOCK | O_NOCTTY)
  } catch {
    return fd
  }
}
