import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Api, apiOf } from '../support/callers/api.ts'
import { eventually } from '../support/suite/eventually.ts'
import { whileUsing } from '../support/callers/latency.ts'
import { endLockers, lockWith } from '../support/stores/locker.ts'
import { endServices, startService } from '../support/processes/service.ts'
import { stopwatch } from '../support/suite/stopwatch.ts'

const HELD_MS = 3_000

async function readiness(api: Api): Promise<Record<string, unknown>> {
  return (await api.call<{ checks: Record<string, unknown> }>('GET', '/health/ready')).body.checks
}

describe('a file of the service that another program has locked', () => {
  afterEach(async () => {
    await endLockers()
    await endServices()
  })

  for (const [file, check] of [
    ['events.db', 'event_store'],
    ['read-model.db', 'read_model'],
  ] as const) {
    it(`stops commands and nothing else, says so, and is over when it is over: ${file}`, async () => {
      const service = await startService({ USAGE_FLUSH_MS: '50' })
      const api = apiOf(service.url)
      const { id, token } = (await api.create({ name: 'used' })).body
      await api.use(token)
      const locker = await lockWith(join(service.folder, 'data', file), 'BEGIN IMMEDIATE')
      const { statuses, slowest, uses, result } = await whileUsing(service.url, token, async () => {
        const started = performance.now()
        const took = stopwatch()
        const { status } = await api.create({ name: 'refused' })
        const able = took()
        await sleep(HELD_MS - (performance.now() - started))
        return { status, took: able }
      })
      expect(Object.keys(statuses)).to.deep.equal(['200'])
      expect(slowest).to.be.below(HELD_MS / 2)
      expect(result.status).to.equal(503)
      expect(result.took).to.be.below(5_000)
      expect((await readiness(api))[check]).to.equal('not_writable')
      const { body: metrics } = await api.call<string>('GET', '/metrics')
      expect(metrics).to.include(`tokenledger_${check}_writable 0`)

      await locker.release()
      await eventually(async () => expect((await readiness(api))[check]).to.equal('ok'))
      await eventually(async () => expect((await api.create({ name: 'afterwards' })).status).to.equal(201))
      await eventually(async () => expect((await api.usage(id)).body.total.requests).to.equal(uses + 1))
      expect(await service.stop()).to.equal(0)
    })
  }
})
