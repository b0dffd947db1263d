import { mock } from 'node:test'
import { expect } from 'chai'
import { createLineQuota, withQuota } from '../../../src/http/lineQuota.ts'

function setUp() {
  const lines: { fields: object; message: string }[] = []
  const write = (fields: object, message: string): void => void lines.push({ fields, message })
  const log = { debug: write, info: write, warn: write, error: write }
  const quota = createLineQuota(log, 'in summary')
  const allowed = (address: string, reason: string, times: number): number =>
    Array.from({ length: times }, () => quota.allows(address, reason)).filter(Boolean).length
  return { lines, log, quota, allowed }
}

describe('lines that anybody can cause', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }))
  afterEach(() => mock.timers.reset())

  it('are 60 a minute for each address, and one for all the others of that minute, by reason', () => {
    const { lines, allowed } = setUp()
    expect(allowed('192.0.2.1', 'unknown', 50)).to.equal(50)
    expect(allowed('192.0.2.1', 'malformed', 30)).to.equal(10)
    expect(allowed('192.0.2.1', 'unknown', 7)).to.equal(0)
    expect(allowed('192.0.2.2', 'unknown', 60)).to.equal(60)
    expect(lines).to.deep.equal([])
    mock.timers.tick(60_000)
    const fields = { from: '192.0.2.1', count: 27, reasons: { malformed: 20, unknown: 7 } }
    expect(lines).to.deep.equal([{ fields, message: 'in summary' }])
    expect(allowed('192.0.2.1', 'unknown', 70)).to.equal(60)
    mock.timers.tick(60_000)
    mock.timers.tick(60_000)
    expect(lines).to.have.lengthOf(2)
  })

  it('are few however many addresses there are', () => {
    const { lines, quota, allowed } = setUp()
    let all = 0
    for (let n = 0; n < 5_000; n++) all += allowed(`2001:db8:0:${n}::1`, 'unknown', 2)
    expect(all).to.equal(2 * 1_000 + 60)
    quota.close()
    expect(lines.map(({ fields }) => fields)).to.deep.equal([
      { from: 'others', count: 7_940, reasons: { unknown: 7_940 } },
    ])
  })

  it('are those with an address, at whatever level', () => {
    const { lines, log, quota } = setUp()
    const limited = withQuota(log, quota)
    for (let n = 0; n < 100; n++) {
      limited.info({ address: '192.0.2.1', reason: 'unknown' }, 'refused')
      limited.error({ address: '192.0.2.1', reason: 'store_unavailable' }, 'failed')
      limited.error({ n }, 'of somebody known')
    }
    expect(lines.filter(({ message }) => message !== 'of somebody known')).to.have.lengthOf(60)
    expect(lines).to.have.lengthOf(160)
  })
})
