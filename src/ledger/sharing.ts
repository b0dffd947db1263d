import type { Metrics } from '../adapters/telemetry/metrics.ts'
import { ids } from '../application/eventLog/ids.ts'
import type { Clock } from '../application/ports/clock.ts'
import type { EventStore } from '../application/ports/eventStore.ts'
import type { ReadModel } from '../application/ports/readModel.ts'
import type { Follower } from '../application/ports/sharing.ts'
import {
  type Currency,
  currentModel,
  modelAsAsked,
  type Questions,
  questionsAsAsked,
} from '../application/sharing/currentModel.ts'
import { type EventStoreLease, joinEventStore } from '../application/sharing/eventStoreLease.ts'
import { createFreshness, type Freshness } from '../application/sharing/freshness.ts'
import { isOfToken, tokenIdOf } from '../domain/streams.ts'
import { isFile } from '../settings/parsers.ts'
import type { Settings } from '../settings/settings.ts'
import { shownUrl } from '../stores/open.ts'

/** What other processes on the same event store mean for this one. */
export interface Sharing {
  /** The read model for look-ups of credentials, and for what changes are decided by. */
  lookUps(readModel: ReadModel): ReadModel
  decisions(readModel: ReadModel): ReadModel
  /** Everything else that is asked of the read model. */
  questions<Q extends Questions<Q>>(questions: Q): Q
  /** The event store for commands, for usage, and for work that one process does for all. */
  commands(store: EventStore): EventStore
  usage(store: EventStore): EventStore
  work(store: EventStore): EventStore
  /** What the projector has to tell. */
  follower?: Follower & { stream: string }
  /** Who does the work that one process does for all. Absent where the read model says it. */
  worker?: Pick<EventStoreLease, 'leads' | 'acquire'>
  /** Another process has the event store for itself. */
  isTaken(): boolean
  /** Nobody can tell whether the read model has what other processes have written. */
  isBehind(answers: { eventStore: boolean }): boolean
  stop(): Promise<void>
}

interface Dependencies {
  settings: Pick<Settings, 'eventStoreUrl' | 'readModelUrl' | 'eventStoreShared' | 'eventStoreTimeoutMs'>
  store: EventStore
  clock: Clock
  metrics: Metrics
  /** Called with the ids of tokens that may have been made by other processes. */
  onCreated: (tokenIds: ReadonlySet<string>) => void
}

const same = <T>(what: T): T => what

/** A SQLite file has one writer, and no other process. */
const ALONE: Sharing = {
  lookUps: same,
  decisions: same,
  questions: same,
  commands: same,
  usage: same,
  work: same,
  isTaken: () => false,
  isBehind: () => false,
  async stop() {},
}

/** @throws StoreInUseError, StoreUnavailableError */
export async function startSharing({
  settings,
  store,
  clock,
  metrics,
  onCreated,
}: Dependencies): Promise<Sharing> {
  const { eventStoreUrl: url, eventStoreShared: shared } = settings
  if (isFile(url)) return ALONE
  const context = { store, clock, ids, telemetry: metrics }
  const lease = await joinEventStore({ ...context, shared, name: `EVENT_STORE_URL ${shownUrl(url)}` })
  const before =
    (allow: () => Promise<void>) =>
    (to: EventStore): EventStore => ({
      ...to,
      async append(...what) {
        await allow()
        return to.append(...what)
      },
    })
  const isOwn = isFile(settings.readModelUrl)
  const byLease: Sharing = {
    ...ALONE,
    lookUps: (model) => currentModel(model, currencyOf(lease)),
    ...asAsked(lease.sound),
    commands: before(lease.beforeWrite),
    work: before(isOwn ? lease.beforeWork : lease.beforeWrite),
    ...(isOwn && { worker: { leads: lease.leads, acquire: lease.acquire } }),
    isTaken: () => lease.flaw() !== null,
    stop: lease.stop,
  }
  if (!isOwn || !shared) return byLease

  const freshness = createFreshness({ ...context, changeMs: settings.eventStoreTimeoutMs })
  gaugeFreshness(metrics, freshness)
  return {
    ...byLease,
    lookUps: (model) => currentModel(model, currencyOf(lease, freshness)),
    ...asAsked(async () => {
      await lease.sound()
      await freshness.provenAsAsked()
    }),
    usage: freshness.noticing,
    follower: {
      ...freshness.follower,
      applied(events) {
        const made = events.filter((event) => isOfToken(event) && event.revision === 0)
        if (made.length > 0) onCreated(new Set(made.map((event) => tokenIdOf(event.stream))))
        freshness.follower.applied(events)
      },
    },
    isBehind: ({ eventStore }) => !eventStore || freshness.isFailing(),
    async stop() {
      await freshness.stop()
      await lease.stop()
    },
  }
}

const asAsked = (wait: () => Promise<void>): Pick<Sharing, 'decisions' | 'questions'> => ({
  decisions: (model) => modelAsAsked(model, wait),
  questions: (questions) => questionsAsAsked(questions, wait),
})

function currencyOf(lease: EventStoreLease, freshness?: Freshness): Currency {
  if (!freshness) return { isCurrent: lease.isSound, current: lease.sound }
  return {
    isCurrent: () => freshness.isFresh() && lease.isSound(),
    async current() {
      await lease.sound()
      await freshness.fresh()
    },
    async currentNow() {
      await lease.sound()
      await freshness.provenNow()
    },
  }
}

function gaugeFreshness({ gauge, counter }: Metrics, { age, heartbeats }: Freshness): void {
  gauge('read_model_proof_age_seconds', 'Since when the read model may lack what others have written.', age)
  counter('heartbeats_total', 'Events written only to know that the read model is up to date.', heartbeats)
}
