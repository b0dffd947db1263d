import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Logger, Telemetry } from '../../application/ports/telemetry.ts'
import { createCredentialCount, createRequestDurations } from './cells.ts'

export interface Metrics extends Telemetry {
  registry: Registry
  /** A request has ended. `route` is a pattern, never a path. */
  responded(method: string, route: string, status: number, seconds: number): void
  /**
   * So many documents of the read model were compared with their events; `differed`: so many were not what they say.
   */
  checked(documents: number): void
  differed(documents: number): void
  /** How many events of the log the read model lacks, whenever they were refused. */
  refused(events: number): void
  /** A value that `read` gives when the metrics are asked for. A record gives several, by the label `of`. */
  gauge(name: string, help: string, read: () => number | Record<string, number>): void
  /** Adds what is usually known of a process (`process_*`, `nodejs_*`), for a service that has one for itself. */
  ofProcess(): void
  /** The same for a value that only grows. */
  counter(name: string, help: string, read: () => number | Record<string, number>): void
}

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** The methods that have labels of their own. Others are one label, since callers may invent any number. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/**
 * Prometheus metrics in a registry of their own.
 * @param version of this package
 */
export function createMetrics(log: Logger, version: string): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter({ name: `tokenledger_${name}`, help, labelNames, registers })
  const histogram = (name: string, help: string) =>
    new Histogram({ name: `tokenledger_${name}`, help, buckets: SECONDS, registers })

  const responded = createRequestDurations(
    {
      name: 'tokenledger_http_request_duration_seconds',
      help: 'Requests by route pattern and status.',
    },
    SECONDS,
    registry,
  )
  const authenticated = createCredentialCount(
    {
      name: 'tokenledger_authentications_total',
      help: 'Credentials that were checked, by kind and outcome.',
    },
    registry,
  )
  const retired = counter(
    'retired_secret_uses_total',
    'Requests with a secret that its token had until a rotation; they are refused.',
  )
  const appends = histogram(
    'append_duration_seconds',
    'Appends to the event store until their outcome was known.',
  )
  const appended = counter('events_appended_total', 'Events that the event store took.')
  const projections = histogram('projection_duration_seconds', 'Batches applied to the read model.')
  const projected = counter('events_projected_total', 'Events applied to the read model.')
  const lost = counter('usage_lost_total', 'Uses that could not be kept.')
  const damaged = counter('events_refused_total', 'Events that were not projected, by what is wrong.', [
    'kind',
  ])
  const notCounted = counter('uses_not_counted_total', 'Uses in those events: no count has all of them.')

  const checked = counter('read_model_checked_total', 'Documents that were compared with their events.')
  const differed = counter('read_model_differences_total', 'Of those, the ones that were not what they say.')

  const refused = new Gauge({
    name: 'tokenledger_refused_events',
    help: 'Events that the read model is without, whenever they were refused.',
    registers,
  })

  new Gauge({
    name: 'tokenledger_build_info',
    help: 'The version that runs, and the version of Node: always 1.',
    labelNames: ['version', 'node'],
    registers,
  })
    .labels(version, process.versions.node)
    .set(1)

  return {
    registry,
    log,
    responded(method, route, status, seconds) {
      responded(METHODS.has(method) ? method : 'other', route, status, seconds)
    },
    authenticated(kind, outcome) {
      authenticated(kind, outcome)
      if (outcome === 'retired') retired.inc()
    },
    appended(seconds, events) {
      appends.observe(seconds)
      appended.inc(events)
    },
    projected(seconds, events) {
      projections.observe(seconds)
      projected.inc(events)
    },
    usageLost: (count) => lost.inc(count),
    checked: (documents) => checked.inc(documents),
    differed: (documents) => differed.inc(documents),
    refused: (events) => refused.set(events),
    damaged(kind, uses = 0) {
      damaged.labels(kind).inc()
      notCounted.inc(uses)
    },
    ofProcess: () => collectDefaultMetrics({ register: registry }),
    gauge(name, help, read) {
      new Gauge({
        name: `tokenledger_${name}`,
        help,
        labelNames: ['of'],
        registers,
        collect() {
          each(read(), (labels, n) => this.set(labels, n))
        },
      })
    },
    counter(name, help, read) {
      new Counter({
        name: `tokenledger_${name}`,
        help,
        labelNames: ['of'],
        registers,
        collect() {
          this.reset()
          each(read(), (labels, n) => this.inc(labels, n))
        },
      })
    },
  }
}

function each(
  value: number | Record<string, number>,
  record: (labels: Record<string, string>, n: number) => void,
): void {
  if (typeof value === 'number') return record({}, value)
  for (const [of, n] of Object.entries(value)) record({ of }, n)
}
