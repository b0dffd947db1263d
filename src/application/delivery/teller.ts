import type { HistoryDocument } from '../../../projections/tokenHistory.ts'
import type { Feed } from '../feed/feed.ts'
import type { Clock } from '../ports/clock.ts'
import type { Logger } from '../ports/telemetry.ts'
import type { Failure } from './aside.ts'
import type { Lane, Lanes } from './lanes.ts'

export type Outcome = { kind: 'delivered' } | ({ kind: 'failed' } & Failure) | { kind: 'gone' }

/** Tells somebody of an event. A rejection is a failure. @param signal aborted when nobody can wait any longer */
export type Deliver = (event: HistoryDocument, signal: AbortSignal) => Promise<Outcome>

interface Dependencies {
  name: string
  target: string
  feed: Pick<Feed, 'end' | 'ofToken'>
  wants: (type: string) => boolean
  deliver: Deliver
  clock: Clock
  log: Pick<Logger, 'warn' | 'error'>
  /** The pause where nothing can be read, in milliseconds. */
  againMs: number
  /** Something has ended, so that something else may begin. */
  onEnd: () => void
}

/** At most so many events are under way at once, each of another token. */
const AT_ONCE = 8

/** Tells of what is due, several tokens at a time, and one event of each. */
export function createTeller(on: Lanes, deps: Dependencies) {
  const { name, feed, clock, log } = deps
  const underWay = new Set<Promise<void>>()
  const givingUp = new AbortController()
  let failures = 0

  /** The next event of a token; null if one that was put aside has caught up, or nobody can say yet. */
  async function nextOf(lane: Lane): Promise<HistoryDocument | null> {
    const { aside } = lane
    if (!aside) return lane.queue[0] ?? null
    // A read model that is being filled again lacks events that there are.
    if ((await feed.end()) < aside.passedOver) return null
    for (let from = aside.revision; ; ) {
      const events = await feed.ofToken(lane.tokenId, from)
      const event = events.find(({ type }) => deps.wants(type))
      const last = event ?? events.at(-1)
      if (!last || last.position > aside.passedOver) {
        on.caughtUp(lane)
        return null
      }
      if (event) return event
      from = last.revision + 1
    }
  }

  async function tellNext(lane: Lane): Promise<void> {
    const event = await nextOf(lane)
    if (!event) return on.postpone(lane, clock() + deps.againMs)
    on.comes(lane, event)
    const outcome = await deps.deliver(event, givingUp.signal).catch(failureOf)
    // What was cut off is tried again by whoever goes on.
    if (givingUp.signal.aborted && outcome.kind !== 'delivered') return
    record(lane, event, outcome)
  }

  function record(lane: Lane, event: HistoryDocument, outcome: Outcome): void {
    if (outcome.kind === 'delivered') return on.delivered(lane, event)
    failures++
    if (outcome.kind === 'gone') {
      on.gone(lane, event, deps.target, clock())
      log.error(
        { to: name },
        'who is told of events wants no more: nothing is sent until somebody says otherwise',
      )
      return
    }
    const { reason, err } = outcome
    const what = { to: name, eventId: event.id, tokenId: event.tokenId, reason, err }
    if (on.failed(lane, event, outcome, clock()))
      log.error(what, 'an event was not taken for three days: it is not tried any more')
    else log.warn(what, 'an event was not taken: it is tried again')
  }

  return {
    begin(): void {
      for (const lane of on.due(clock())) {
        if (underWay.size >= AT_ONCE) return
        on.occupy(lane)
        const work = tellNext(lane)
          .catch((err: unknown) => {
            on.postpone(lane, clock() + deps.againMs)
            log.warn({ err, to: name }, 'an event that has to be told cannot be read now')
          })
          .finally(() => {
            on.release(lane)
            underWay.delete(work)
            deps.onEnd()
          })
        underWay.add(work)
      }
    },

    /** Waits for what is under way, and cuts off what takes longer than so many milliseconds. */
    async end(ms: number): Promise<void> {
      const late = setTimeout(() => givingUp.abort(), ms)
      await Promise.all(underWay)
      clearTimeout(late)
    },

    failures: () => failures,
  }
}

const failureOf = (err: unknown): Outcome => ({
  kind: 'failed',
  reason: err instanceof Error ? err.message : 'what was thrown is no error',
  err,
})
