import { expect } from 'chai'
import { WrongUse } from '../../../../scripts/cli/command.ts'
import { momentOf, rangeFrom, timeOrDate } from '../../../../scripts/cli/input.ts'

describe('A time on the command line', () => {
  it('is a whole UTC day where it is a date', () => {
    expect(momentOf('2026-11-27', 'start')).to.equal('2026-11-27T00:00:00.000Z')
    expect(momentOf('2026-11-27', 'last')).to.equal('2026-11-27T23:59:59.999Z')
    expect(momentOf('2026-11-27', 'end')).to.equal('2026-11-28T00:00:00.000Z')
    expect(momentOf('2028-02-29', 'end')).to.equal('2028-03-01T00:00:00.000Z')
    expect(momentOf('2026-12-31', 'end')).to.equal('2027-01-01T00:00:00.000Z')
  })

  it('is itself where it is a time', () => {
    for (const ofDay of ['start', 'last', 'end'] as const)
      expect(momentOf('2026-11-27T10:00:00+01:00', ofDay)).to.equal('2026-11-27T09:00:00.000Z')
  })

  it('of a range includes both days, and a range that runs backwards stays one', () => {
    expect(rangeFrom({ from: '2026-11-01', to: '2026-11-30' })).to.deep.equal({
      from: '2026-11-01T00:00:00.000Z',
      to: '2026-12-01T00:00:00.000Z',
    })
    const { from = '', to = '' } = rangeFrom({ from: '2026-01-02', to: '2026-01-01' })
    expect(from > to).to.equal(true)
    expect(rangeFrom({})).to.deep.equal({ from: undefined, to: undefined })
  })

  it('that is neither is refused with the forms that there are, and without what was given', () => {
    for (const text of [
      '',
      'yesterday',
      '2026-02-30',
      '2026-11',
      '27.11.2026',
      '2026-11-27 10:00',
      '10000-01-01',
    ]) {
      expect(() => timeOrDate(text, '--from', 'start'), text).to.throw(
        WrongUse,
        /^--from must be an RFC 3339 time \(2.*\) or a date \(2.*\)\.$/,
      )
    }
    expect(timeOrDate(undefined, '--from', 'start')).to.equal(undefined)
  })
})
