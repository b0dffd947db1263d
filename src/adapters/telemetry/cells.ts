import { Counter, type Histogram, type MetricValueWithName, type Registry } from 'prom-client'

/** Counts a request that has ended. */
export type CountRequest = (method: string, route: string, status: number, seconds: number) => void

interface Cell {
  method: string
  route: string
  status: number
  /** How many requests are in each bucket, and in no smaller one; the last one has no bound. */
  buckets: number[]
  sum: number
}

/**
 * A histogram of how long requests took, by method, route and status. It counts in cells of its own and hands them to
 * prom-client when that is asked for them, since its own histogram makes a text of the labels and validates them for
 * each request.
 * @param name of the metric, with its prefix
 * @param bounds of the buckets, in seconds, the smallest first
 */
export function createRequestDurations(
  { name, help }: { name: string; help: string },
  bounds: readonly number[],
  registry: Registry,
): CountRequest {
  const cells = new Map<string, Cell>()
  /** Most requests are like the one before. */
  let last: Cell | null = null

  function cellOf(method: string, route: string, status: number): Cell {
    const key = `${status} ${method} ${route}`
    const known = cells.get(key)
    if (known) return known
    const cell = { method, route, status, buckets: Array(bounds.length + 1).fill(0), sum: 0 }
    cells.set(key, cell)
    return cell
  }

  const get = () =>
    Promise.resolve({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...cells.values()].flatMap((cell) => valuesOf(name, cell, bounds)),
    })
  // Of a metric that is registered, a registry asks no more than this.
  registry.registerMetric({ name, get } as unknown as Histogram)

  return (method, route, status, seconds) => {
    if (last === null || last.status !== status || last.method !== method || last.route !== route)
      last = cellOf(method, route, status)
    let bucket = 0
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket++
    last.buckets[bucket] = (last.buckets[bucket] as number) + 1
    last.sum += seconds
  }
}

/** Buckets are cumulative: each has all that took at most so long. */
function valuesOf(
  name: string,
  { method, route, status, buckets, sum }: Cell,
  bounds: readonly number[],
): MetricValueWithName<string>[] {
  const labels = { method, route, status: String(status) }
  let count = 0
  const values = buckets.map((own, i) => {
    count += own
    return { metricName: `${name}_bucket`, labels: { le: bounds[i] ?? '+Inf', ...labels }, value: count }
  })
  return [
    ...values,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ]
}

/** Counts a credential that was checked. */
export type CountCredential = (kind: string, outcome: string) => void

/** A counter of credentials, by kind and outcome, which counts in cells of its own likewise. */
export function createCredentialCount(
  { name, help }: { name: string; help: string },
  registry: Registry,
): CountCredential {
  const cells = new Map<string, { kind: string; outcome: string; count: number }>()
  let last: { kind: string; outcome: string; count: number } | null = null
  new Counter({
    name,
    help,
    labelNames: ['kind', 'outcome'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { kind, outcome, count } of cells.values()) this.inc({ kind, outcome }, count)
    },
  })
  return (kind, outcome) => {
    if (last === null || last.kind !== kind || last.outcome !== outcome) {
      const key = `${kind} ${outcome}`
      const known = cells.get(key)
      last = known ?? { kind, outcome, count: 0 }
      if (!known) cells.set(key, last)
    }
    last.count++
  }
}
