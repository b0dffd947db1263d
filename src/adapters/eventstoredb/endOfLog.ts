import type { Connection } from './connection.ts'
import { SilenceError } from './deadline.ts'
import { BATCH, head, readFrom } from './read.ts'

/** The pause between two looks while the reader is behind, in milliseconds. */
const PAUSE_MS = 100
/**
 * For so long a subscription may give nothing, in milliseconds: while an event is in the log that it should have given,
 * and before it has caught up for the first time, when a server that reads a long log of others says now and then how far
 * it is.
 */
const DEAF_MS = { live: 2_000, before: 10_000 }

/** Whether the reader of a subscription has everything that it wants of the log. */
export interface EndOfLog {
  /** The reader has been given the events up to this position. */
  gave(position: string): void
  /** The server has passed this position: no event that is not given yet, or waits to be, comes before it. */
  passed(position: string): void
  /** Milliseconds until it makes sense to look again. */
  restMs(): number
  /**
   * Asks the server for what the reader has not got yet, beside what else goes on, unless that is under way already.
   * @param isLive has the subscription caught up before? Otherwise the server is only asked whether it answers
   */
  look(isLive: boolean): void
  isLooking(): boolean
  /**
   * What has become known since the last call: that there are events which the reader has not got; that it is at the end;
   * or, where it was given something while somebody looked, when the log ended where it is now, in milliseconds of
   * `performance.now()`.
   * @throws errors of the client; SilenceError if the server does not answer, or the subscription gives nothing
   */
  news(): 'behind' | 'at the end' | number | null
}

/** What a look has found that the reader had not got. */
interface Found {
  /** In milliseconds of `performance.now()`. */
  asked: number
  /** What the reader had been given then. */
  given: string
  first: string | null
  /** Null if there is more than one look shows. */
  last: string | null
}

/**
 * A server says that a subscription has caught up, but not that it has fallen behind again: some read on from the log
 * then, by themselves, while their live subscriber hears nothing. So the log itself is looked at, behind the reader. That
 * takes as long as the server takes to answer, and holds up nothing.
 * @param after where the subscription begins
 * @param onLooked called when there are news
 */
export function createEndOfLog(
  connection: Connection,
  prefixes: readonly string[],
  after: string | null,
  onLooked: () => void,
): EndOfLog {
  let given = after ?? ''
  let from = after
  let looking: Promise<void> | null = null
  let failure: { error: unknown } | null = null
  let found: Found | null = null
  let isNew = false
  /** The event that is waited for, where the server was then, and since when. */
  let lacking = { first: '', from, since: 0 }
  let heardAt = performance.now()
  let restsUntil = 0

  function pass(position: string): void {
    if (position > (from ?? '')) from = position
  }

  const isWanted = (stream: string): boolean => prefixes.some((prefix) => stream.startsWith(prefix))

  async function find(): Promise<Found> {
    for (;;) {
      const [asked, before] = [performance.now(), given]
      const events = await readFrom(connection, from)
      const isAll = events.length < BATCH
      const missing = events.filter(({ stream, position }) => position > given && isWanted(stream))
      const [first = null, last = ''] = [missing[0]?.position, missing.at(-1)?.position]
      if (isAll) return { asked, given: before, first, last }
      if (first !== null) return { asked, given: before, first, last: null }
      pass(events.at(-1)?.position ?? '')
    }
  }

  async function lookAtLog(): Promise<void> {
    found = await find()
    isNew = true
  }

  async function lookAtServer(): Promise<void> {
    await head(connection)
    assertHeard(heardAt, DEAF_MS.before)
  }

  function assertHears(first: string): void {
    if (lacking.first !== first || lacking.from !== from) lacking = { first, from, since: performance.now() }
    assertHeard(lacking.since, DEAF_MS.live)
  }

  return {
    gave(position) {
      given = position
      heardAt = performance.now()
      pass(position)
    },
    passed(position) {
      heardAt = performance.now()
      pass(position)
    },
    restMs: () => Math.max(0, restsUntil - performance.now()),
    isLooking: () => looking !== null,

    look(isLive) {
      looking ??= (isLive ? lookAtLog() : lookAtServer())
        .catch((error: unknown) => {
          failure = { error }
        })
        .finally(() => {
          looking = null
          restsUntil = performance.now() + PAUSE_MS
          onLooked()
        })
    },

    news() {
      if (failure) throw failure.error
      if (found === null) return null
      const { asked, first, last } = found
      if (last !== null && given >= last) {
        const isUnchanged = given === found.given
        found = null
        return isUnchanged ? 'at the end' : asked
      }
      if (!isNew) return null
      isNew = false
      assertHears(first ?? '')
      return 'behind'
    },
  }
}

function assertHeard(since: number, ms: number): void {
  if (performance.now() - since > ms) throw new SilenceError('the subscription gives nothing')
}
