import { constants, openSync, write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'

/**
 * Standard output or standard error, written to without ever waiting for whoever reads it. What it does not take for
 * now waits here, up to a bound; what it refuses (a full disk, a reader that is gone) and what is beyond the bound is
 * lost, counted, and said in a line of its own as soon as lines are taken again.
 */
export interface Output {
  /** Takes whole lines. */
  put(text: string): void
  /** Lines lost so far. */
  lost(): number
  /** Bytes that wait to be written. */
  waiting(): number
  /** Resolves when all is written, or after so many milliseconds. */
  drained(withinMs: number): Promise<void>
  /** Writes what waits and these lines at once, as far as it can: for the end of the process. */
  lastWords(text: string): void
}

interface Piece {
  bytes: Buffer
  /** How many lost lines it tells of; 0 where it is lines itself. */
  announces: number
}

/** In bytes: some seconds of log at full load. */
const MOST_WAITING = 1024 * 1024
/** In milliseconds, for an output that takes no more for now: doubled each time. */
const RETRY_MS = { first: 5, longest: 250 }
/** In milliseconds, for an output that refuses. */
const REFUSED_RETRY_MS = 250
/** In milliseconds: how long the end of a process is put off for lines that are not taken at once. */
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
  /** Of those, not told of yet. */
  let unannounced = 0
  /** Has a loss left half a line at the end of what was written? */
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

  /** Nothing of it can be written: later lines may be. */
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
      // What is under way is left to its thread: no callback comes any more.
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
 * A descriptor for the same output on which no write waits for its reader: a thread that waits would keep the process
 * from ending. A terminal is opened anew, since its mode belongs to others as well; pipes and sockets are put into that
 * mode by Node when it makes their stream. Files do not wait for anybody.
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
