import type { Logger } from '../ports/telemetry.ts'
import { createPause } from '../scheduling/pause.ts'
import type { Feed } from './feed.ts'

/** How often the feed is looked at while somebody follows it, in milliseconds. */
const EVERY_MS = 250
/** How many new events are looked through at once. */
const READ = 500

export interface FeedWatch {
  /**
   * Calls `onNew` whenever the feed may have something new for the account (null: for anybody). One look serves all who
   * follow.
   * @returns a function that ends it
   */
  follow(accountId: string | null, onNew: () => void): () => void
  /** Looks at once, since this process has written something. */
  look(): void
  stop(): Promise<void>
}

interface Follower {
  accountId: string | null
  onNew: () => void
}

export function createFeedWatch(
  feed: Pick<Feed, 'read' | 'end'>,
  log: Pick<Logger, 'warn'>,
  everyMs = EVERY_MS,
): FeedWatch {
  const followers = new Set<Follower>()
  const stopping = new AbortController()
  let running: Promise<void> | null = null
  const { pause, wake } = createPause()
  let isLogged = false

  /** @param accounts whose events are new; null: nobody knows */
  function announce(accounts: ReadonlySet<string | null> | null): void {
    for (const { accountId, onNew } of followers)
      if (accountId === null || accounts === null || accounts.has(accountId)) onNew()
  }

  /** @returns the position up to which everything was looked at */
  async function lookBehind(from: string): Promise<string> {
    const end = await feed.end()
    for (let after = from; after < end; ) {
      const query = { accountId: null, after, types: null, limit: READ }
      const { data, next } = await feed.read(query, stopping.signal)
      if (data.length > 0) announce(new Set(data.map(({ accountId }) => accountId)))
      if (data.length < READ) break
      after = next
    }
    return end
  }

  /** Whoever began to follow before the first look may have read less than that look has passed over. */
  async function firstLook(): Promise<string> {
    const end = await feed.end()
    announce(null)
    return end
  }

  async function run(): Promise<void> {
    let position: string | null = null
    while (followers.size > 0 && !stopping.signal.aborted) {
      try {
        position = position === null ? await firstLook() : await lookBehind(position)
        isLogged = false
      } catch (err) {
        if (!isLogged && !stopping.signal.aborted) log.warn({ err }, 'the feed cannot be followed now')
        isLogged = true
      }
      if (!stopping.signal.aborted) await pause(everyMs)
    }
    running = null
  }

  return {
    follow(accountId, onNew) {
      const follower = { accountId, onNew }
      followers.add(follower)
      running ??= run()
      return () => void followers.delete(follower)
    },
    look: wake,
    async stop() {
      stopping.abort()
      wake()
      await running
    },
  }
}
