import { expect } from 'chai'
import { usageRange } from '../../../../src/application/analytics/range.ts'
import { Refusal } from '../../../../src/domain/errors.ts'

const NOW = '2026-11-23T12:00:00.000Z'

describe('The range of usage', () => {
  it('is the last 30 days by day unless said otherwise', () => {
    expect(usageRange({}, NOW)).to.deep.equal({
      from: '2026-10-24T12:00:00.000Z',
      to: NOW,
      granularity: 'day',
    })
  })

  it('begins 30 days before the end that is given, and is told in UTC', () => {
    expect(usageRange({ to: '2026-03-31T02:00:00+02:00', granularity: 'hour' }, NOW)).to.deep.equal({
      from: '2026-03-01T00:00:00.000Z',
      to: '2026-03-31T00:00:00.000Z',
      granularity: 'hour',
    })
  })

  it('names every problem', () => {
    let refused: unknown
    try {
      usageRange({ from: 'then', to: 'now', granularity: 'week' }, NOW)
    } catch (error) {
      refused = error
    }
    expect(refused).to.be.instanceOf(Refusal)
    const paths = (refused as Refusal).errors.map(({ path }) => path.join())
    expect(paths).to.have.members(['from', 'to', 'granularity'])
  })

  it('does not end before it begins', () => {
    expect(() => usageRange({ from: '2026-11-24T00:00:00Z' }, NOW)).to.throw(Refusal)
    expect(usageRange({ from: NOW }, NOW).from).to.equal(NOW)
  })
})
