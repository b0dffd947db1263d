import { expect } from 'chai'
import { notice } from '../../../src/domain/decide.ts'
import { firstNotice, noticeAfter } from '../../../src/domain/expiry.ts'
import type { TokenState } from '../../../src/domain/token.ts'

const DAY = 86_400_000
const END = Date.parse('2027-03-01T00:00:00.000Z')
/** So many days before the end. */
const before = (days: number): string => new Date(END - days * DAY).toISOString()
const end = before(0)

/** As much of a token as a notice depends on. */
const tokenWith = (noticeAt: string | null, more: object = {}): TokenState =>
  ({ status: 'active', revokedAt: null, expiresAt: end, noticeAt, ...more }) as TokenState

describe('that a token expires', () => {
  it('is told 30, 7 and 1 days before, and when it does', () => {
    let noticeAt = firstNotice(end, before(40))
    const told: (number | string)[] = []
    for (const due of [before(30), before(7), before(1), end]) {
      expect(noticeAt).to.equal(due)
      expect(notice(tokenWith(noticeAt), new Date(Date.parse(due) - 1).toISOString())).to.equal(null)
      const fact = notice(tokenWith(noticeAt), due)
      expect(fact?.data.expiresAt).to.equal(end)
      told.push(fact?.type === 'TokenExpiring' ? fact.data.days : String(fact?.type))
      noticeAt = noticeAfter(end, fact?.type === 'TokenExpiring' ? fact.data.days : 0)
    }
    expect(told).to.deep.equal([30, 7, 1, 'TokenExpired'])
    expect(noticeAt).to.equal(null)
  })

  it('is not told of days that lie before the expiry was set', () => {
    expect(firstNotice(end, before(30)), 'on that very day').to.equal(before(7))
    expect(firstNotice(end, before(20))).to.equal(before(7))
    expect(firstNotice(end, before(0.5))).to.equal(end)
    expect(firstNotice(end, end), 'imported when it had expired').to.equal(null)
    expect(firstNotice(null, before(40))).to.equal(null)
  })

  it('is told once, and most urgently, after a time in which nobody could tell', () => {
    for (const [now, days] of [
      [before(29), 30],
      [before(6), 7],
      [before(0.5), 1],
    ] as const)
      expect(notice(tokenWith(before(30)), now)).to.deep.equal({
        type: 'TokenExpiring',
        data: { days, expiresAt: end },
      })
    expect(notice(tokenWith(before(30)), before(-100))?.type).to.equal('TokenExpired')
    expect(noticeAfter(end, 1)).to.equal(end)
  })

  it('is not told of a token that was revoked, has no expiry, or of which all was told', () => {
    expect(notice({ status: 'none' }, end)).to.equal(null)
    expect(notice(tokenWith(before(30), { status: 'revoked' }), end)).to.equal(null)
    expect(notice(tokenWith(before(30), { expiresAt: null }), end)).to.equal(null)
    expect(notice(tokenWith(null), before(-1))).to.equal(null)
  })
})
