import { expect } from 'chai'
import { Counter, Histogram, Registry } from 'prom-client'
import { createCredentialCount, createRequestDurations } from '../../../src/adapters/telemetry/cells.ts'

const BOUNDS = [0.001, 0.01, 1]

describe('Requests and credentials in the metrics', () => {
  it('read as prom-client itself would show them', async () => {
    const [ours, theirs] = [new Registry(), new Registry()]
    const names = [
      { name: 'seconds', help: 'How long\\it took.\nIn seconds.' },
      { name: 'checked', help: 'Checked.' },
    ] as const
    const requests = createRequestDurations(names[0], BOUNDS, ours)
    const credentials = createCredentialCount(names[1], ours)
    const registers = [theirs]
    const histogram = new Histogram({
      ...names[0],
      labelNames: ['method', 'route', 'status'],
      buckets: BOUNDS,
      registers,
    })
    const counter = new Counter({ ...names[1], labelNames: ['kind', 'outcome'], registers })

    const show = () => Promise.all([ours.metrics(), theirs.metrics()])
    expect((await show())[0]).to.equal((await show())[1])
    for (let round = 0; round < 2; round++) {
      for (const [method, route, status, seconds] of [
        ['GET', '/a', 200, 0.0005],
        ['GET', '/a', 200, 0.001],
        ['GET', '/a', 404, 0.0011],
        ['GET', '/a "b"\\', 200, 7],
        ['POST', '/a', 200, 1],
        ['GET', '/a', 200, 0.5],
      ] as const) {
        requests(method, route, status, seconds)
        histogram.labels(method, route, String(status)).observe(seconds)
      }
      for (const [kind, outcome] of [
        ['token', 'accepted'],
        ['token', 'accepted'],
        ['jwt', 'accepted'],
        ['token', 'expired'],
        ['token', 'accepted'],
      ] as const) {
        credentials(kind, outcome)
        counter.labels(kind, outcome).inc()
      }
      const [shown, expected] = await show()
      expect(shown).to.equal(expected)
      expect(shown).to.contain('seconds_count{method="GET",route="/a",status="200"} ')
    }
  })
})
