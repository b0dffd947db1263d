import { post } from '../../src/adapters/network/post.ts'
import { createOutbox, type Delivered, type Outbox } from '../../src/application/delivery/outbox.ts'
import { sendWebhook, WEBHOOK_TYPES } from '../../src/application/delivery/webhook.ts'
import { QUIET } from '../../src/application/eventLog/append.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { createFeed } from '../../src/application/feed/feed.ts'
import { type Clock, iso } from '../../src/application/ports/clock.ts'
import { ConflictError, StoreInUseError } from '../../src/application/ports/errors.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { Settings } from '../../src/settings/settings.ts'
import { requestToResume } from '../../src/stores/resumeRequest.ts'
import { NotFound, WrongUse } from './command.ts'
import { withEventStore, withReadModel, withWritableEventStore } from './stores.ts'

const NAME = 'webhooks'
const READ = 500

const outboxOf = (store: EventStore, clock: Clock): Outbox =>
  createOutbox(NAME, { store, clock, ids, telemetry: QUIET, instance: 'tokenledger webhooks' })

/** What is stored of the webhooks, and how many of them wait; null if none was ever to be sent. */
export async function readOutbox(
  settings: Settings,
  clock: Clock,
): Promise<(Delivered & { waiting: number; oldest: string | null }) | null> {
  const state = await withEventStore(settings, ({ store }) => outboxOf(store, clock).load())
  if (!state) return null
  const times = state.aside.map(({ at }) => at)
  let waiting = state.aside.reduce((sum, aside) => sum + aside.waiting, 0)
  const isAside = new Set(state.aside.map(({ tokenId }) => tokenId))
  await withReadModel(settings, clock, async ({ readModel }) => {
    const feed = createFeed(readModel)
    for (let after = state.position; ; ) {
      const { data, next } = await feed.read({ accountId: null, after, types: null, limit: READ })
      for (const { type, tokenId, at } of data) {
        if (!WEBHOOK_TYPES.has(type) || isAside.has(tokenId)) continue
        waiting++
        times.push(at)
      }
      if (next === after) break
      after = next
    }
  })
  return {
    ...state,
    waiting,
    oldest: times.reduce((a: string | null, b) => (a !== null && a < b ? a : b), null),
  }
}

/** @throws NotFound */
export function foundOutbox<T>(
  outbox: T | null,
  { webhookUrl, webhookSecrets }: Pick<Settings, 'webhookUrl' | 'webhookSecrets'>,
): T {
  if (outbox) return outbox
  if (webhookUrl !== null && webhookSecrets !== null)
    throw new NotFound('No service has had these webhooks yet: they begin with its next start.')
  throw new NotFound('No webhooks were ever set up: set WEBHOOK_URL and WEBHOOK_SECRET for the service.')
}

/**
 * Lets webhooks be sent again to a server that wanted no more.
 * @returns `asked`: a service runs on the file of the event store, and was asked to; `idle`: nothing had been stopped
 */
export async function resumeOutbox(
  settings: Settings,
  clock: Clock,
  note: (text: string) => void,
): Promise<'resumed' | 'asked' | 'idle'> {
  const { stopped } = foundOutbox(await readOutbox(settings, clock), settings)
  if (!stopped) return 'idle'
  try {
    return await withWritableEventStore(settings, note, async ({ store }) => {
      const outbox = outboxOf(store, clock)
      for (;;) {
        const state = await outbox.load()
        if (!state?.stopped) return 'idle'
        try {
          await outbox.save({ ...state, stopped: null })
          return 'resumed'
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error
        }
      }
    })
  } catch (error) {
    if (!(error instanceof StoreInUseError)) throw error
    await requestToResume(settings.eventStoreUrl)
    return 'asked'
  }
}

/** Sends a webhook of type `webhook.test`, as the service would send one. @throws WrongUse without the settings */
export async function sendTest(
  { webhookUrl: url, webhookSecrets: secrets }: Settings,
  clock: Clock,
): Promise<{ id: string; isTaken: boolean; said: string }> {
  if (url === null || secrets === null) throw new WrongUse('Set WEBHOOK_URL and WEBHOOK_SECRET.')
  const webhook = { id: ids.random(), at: iso(clock()), type: 'webhook.test', data: {} }
  const { signal } = new AbortController()
  try {
    const { status } = await sendWebhook({ url, secrets, post, clock }, webhook, signal)
    return { id: webhook.id, isTaken: status >= 200 && status < 300, said: `status ${status}` }
  } catch (error) {
    return { id: webhook.id, isTaken: false, said: (error as Error).message }
  }
}
