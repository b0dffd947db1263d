import { post } from '../adapters/network/post.ts'
import type { Metrics } from '../adapters/telemetry/metrics.ts'
import { createDelivery, type Delivery, type DeliveryDependencies } from '../application/delivery/delivery.ts'
import { createHostDelivery } from '../application/delivery/hostFunction.ts'
import { createWebhooks, WEBHOOK_TYPES } from '../application/delivery/webhook.ts'
import { ids } from '../application/eventLog/ids.ts'
import { presentFeedEvent, shownFeedEvent } from '../presentation/feed.ts'
import type { TokenLedgerOptions } from '../settings/options.ts'
import type { Settings } from '../settings/settings.ts'
import { takeRequestToResume } from '../stores/resumeRequest.ts'
import type { Feeds } from './feeds.ts'

type Context = Pick<
  DeliveryDependencies,
  'store' | 'clock' | 'ids' | 'telemetry' | 'log' | 'leads' | 'acquire'
> & { feeds: Feeds }

export interface Deliveries {
  stop(): Promise<void>
}

/**
 * Tells whoever wants to know of what happens to tokens: a server by webhooks, and the host by its own function.
 * @throws as `Delivery.start`
 */
export async function startDeliveries(
  settings: Pick<Settings, 'webhookUrl' | 'webhookSecrets' | 'eventStoreUrl'>,
  { onEvent }: Pick<TokenLedgerOptions, 'onEvent'>,
  { feeds, ...context }: Context,
  metrics: Metrics,
): Promise<Deliveries> {
  const { webhookUrl: url, webhookSecrets: secrets } = settings
  const following = { feed: feeds.ofReadModel, watch: feeds.watch }
  const common = { ...context, ...following, instance: ids.random(), random: Math.random }
  const deliveries: Record<string, Delivery> = {}
  if (url !== null && secrets !== null) {
    deliveries.webhooks = createDelivery({
      ...common,
      name: 'webhooks',
      target: ids.digest(url),
      wants: (type) => WEBHOOK_TYPES.has(type),
      deliver: createWebhooks({ url, secrets, post, clock: context.clock }, presentFeedEvent),
      takeRequestToResume: () => takeRequestToResume(settings.eventStoreUrl),
    })
  }
  if (onEvent) {
    deliveries.code = createDelivery({
      ...common,
      name: 'code',
      target: 'onEvent',
      wants: () => true,
      deliver: createHostDelivery(onEvent, shownFeedEvent),
    })
  }
  gaugeDeliveries(metrics, deliveries, context.clock)
  await Promise.all(Object.values(deliveries).map((delivery) => delivery.start()))
  return {
    async stop() {
      await Promise.all(Object.values(deliveries).map((delivery) => delivery.stop()))
    },
  }
}

function gaugeDeliveries(
  { gauge, counter }: Metrics,
  deliveries: Readonly<Record<string, Delivery>>,
  clock: () => number,
): void {
  if (Object.keys(deliveries).length === 0) return
  const each = (read: (delivery: Delivery) => number) => (): Record<string, number> =>
    Object.fromEntries(Object.entries(deliveries).map(([name, delivery]) => [name, read(delivery)]))
  const ageOf = (at: string | null): number =>
    at === null ? 0 : Math.max(0, clock() - Date.parse(at)) / 1000
  gauge(
    'deliveries_waiting',
    'Events of which nobody was told yet, by who is told.',
    each((one) => one.status().waiting),
  )
  gauge(
    'deliveries_oldest_seconds',
    'The age of the oldest of them.',
    each((one) => ageOf(one.status().oldest)),
  )
  gauge(
    'deliveries_stopped',
    'Whether whoever is told wants no more (410).',
    each((one) => Number(one.status().isStopped)),
  )
  counter(
    'delivery_failures_total',
    'Attempts that have failed.',
    each((one) => one.failures()),
  )
}
