import { expect } from 'chai'
import type { ActivityDocument } from '../../../../projections/tokenActivity.ts'
import { createFold } from '../../../../src/application/analytics/activityFold.ts'

const START = Date.parse('2026-01-01T00:00:00.000Z')
const hourAt = (n: number): string => new Date(START + n * 3_600_000).toISOString()

const hour = (n: number, counters: Partial<ActivityDocument> = {}): ActivityDocument => ({
  id: String(n),
  tokenId: 't',
  accountId: 'a',
  at: hourAt(n),
  requests: 3,
  outcomes: { '2xx': 2, '4xx': 1 },
  firstAt: hourAt(n),
  lastAt: hourAt(n),
  routes: { '2xx GET /a': 2, '4xx GET /a': 1 },
  management: {},
  addresses: { '192.0.2.1': 3 },
  userAgents: { '* none': 2, '* other': 1 },
  ...counters,
})

function foldOf(hours: readonly ActivityDocument[]) {
  const fold = createFold()
  for (const one of hours) fold.add(one)
  return fold.result()
}

describe('hours of activity, added up', () => {
  it('are counted by caller and route, with the first and last hour of each', () => {
    const { requests, outcomes, addresses, userAgents, routes } = foldOf([
      hour(0),
      hour(5),
      hour(9, { addresses: { '192.0.2.2': 3 } }),
    ])
    expect([requests, outcomes]).to.deep.equal([9, { '2xx': 6, '4xx': 3 }])
    expect(addresses).to.deep.equal({
      data: [
        { text: '192.0.2.1', requests: 6, firstHour: hourAt(0), lastHour: hourAt(5) },
        { text: '192.0.2.2', requests: 3, firstHour: hourAt(9), lastHour: hourAt(9) },
      ],
      other: 0,
      otherHours: null,
    })
    expect(userAgents.other).to.equal(3)
    expect(userAgents.otherHours).to.deep.equal({ first: hourAt(0), last: hourAt(9) })
    expect(userAgents.data.map(({ text, requests: n }) => [text, n])).to.deep.equal([[null, 6]])
    expect(routes.data.map(({ method, route, outcomes: own }) => [method, route, own])).to.deep.equal([
      ['GET', '/a', { '2xx': 6, '4xx': 3 }],
    ])
  })

  it('tell 1,000 callers apart and count the rest', () => {
    const addresses = Object.fromEntries(Array.from({ length: 1_003 }, (_, i) => [`10.0.0.${i}`, 1]))
    const found = foldOf([hour(0, { addresses }), hour(1, { addresses })])
    expect(found.addresses.data).to.have.lengthOf(1_000)
    expect(found.addresses.other).to.equal(6)
    expect(found.addresses.otherHours).to.deep.equal({ first: hourAt(0), last: hourAt(1) })
    expect(found.addresses.data[0]).to.include({ requests: 2, lastHour: hourAt(1) })
  })

  it('are shown one by one up to 1,000, the newest; the others as a sum', () => {
    const { hours, earlier, requests, firstAt, lastAt } = foldOf(
      Array.from({ length: 1_002 }, (_, n) => hour(n)),
    )
    expect(hours).to.have.lengthOf(1_000)
    expect([hours[0]?.at, hours.at(-1)?.at]).to.deep.equal([hourAt(2), hourAt(1_001)])
    expect(earlier).to.deep.equal({ hours: 2, requests: 6 })
    expect([requests, firstAt, lastAt]).to.deep.equal([3_006, hourAt(0), hourAt(1_001)])
  })
})
