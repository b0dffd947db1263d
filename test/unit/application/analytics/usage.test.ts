import { expect } from 'chai'
import { segments } from '../../../../src/application/analytics/buckets.ts'

const NOW = '2026-03-20T15:45:30.500Z'

/** Times like `10T09:30`, on a day of March 2026. */
const at = (text: string): string => `2026-03-${text.slice(0, 5)}${text.slice(5) || ':00'}:00.000Z`

function segmentsOf(granularity: 'hour' | 'day', from: string, to: string): string[] {
  return segments({ granularity, from, to }, NOW).map(
    (found) => `${found.granularity} ${found.from} ${found.to}`,
  )
}

describe('the buckets of a range by the day', () => {
  const rules: [
    rule: string,
    from: string,
    to: string,
    expected: [granularity: string, from: string, to: string][],
  ][] = [
    ['that is aligned are whole days', '10T00', '13T00', [['day', '10T00', '13T00']]],
    [
      'are hours of the days that it cuts, and whole days between them',
      '10T09:30',
      '13T14:20',
      [
        ['hour', '10T09', '11T00'],
        ['day', '11T00', '13T00'],
        ['hour', '13T00', '13T14:20'],
      ],
    ],
    [
      'are hours only of its first day, if its end is aligned',
      '10T23:59',
      '12T00',
      [
        ['hour', '10T23', '11T00'],
        ['day', '11T00', '12T00'],
      ],
    ],
    [
      'are hours only of its last day, if its start is aligned',
      '10T00',
      '11T00:01',
      [
        ['day', '10T00', '11T00'],
        ['hour', '11T00', '11T00:01'],
      ],
    ],
    ['are hours where it lies within a day', '10T09:30', '10T14:20', [['hour', '10T09', '10T14:20']]],
    ['are hours where it ends within its first day', '10T00', '10T14:20', [['hour', '10T00', '10T14:20']]],
    ['are hours where it holds no whole day', '10T09:30', '11T14:20', [['hour', '10T09', '11T14:20']]],
    ['are hours where it ends with its first day', '10T09:30', '11T00', [['hour', '10T09', '11T00']]],
    ['are one day where it is one day', '10T00', '11T00', [['day', '10T00', '11T00']]],
  ]
  for (const [rule, from, to, expected] of rules) {
    it(rule, () => {
      const wanted = expected.map(([granularity, start, end]) => `${granularity} ${at(start)} ${at(end)}`)
      expect(segmentsOf('day', at(from), at(to))).to.deep.equal(wanted)
    })
  }

  it('take today whole where it reaches to now', () => {
    expect(segmentsOf('day', at('18T00'), NOW)).to.deep.equal([`day ${at('18T00')} ${at('21T00')}`])
    expect(segmentsOf('day', at('20T00'), NOW)).to.deep.equal([`day ${at('20T00')} ${at('21T00')}`])
  })

  it('take today by the hour where it ends a millisecond before now', () => {
    const end = '2026-03-20T15:45:30.499Z'
    expect(segmentsOf('day', at('18T00'), end)).to.deep.equal([
      `day ${at('18T00')} ${at('20T00')}`,
      `hour ${at('20T00')} ${end}`,
    ])
  })

  it('take its last day whole where it reaches past now', () => {
    expect(segmentsOf('day', at('18T09:30'), at('25T10'))).to.deep.equal([
      `hour ${at('18T09')} ${at('19T00')}`,
      `day ${at('19T00')} ${at('26T00')}`,
    ])
  })

  it('end at an aligned end past now, and not a day later', () => {
    expect(segmentsOf('day', at('18T00'), at('21T00'))).to.deep.equal([`day ${at('18T00')} ${at('21T00')}`])
  })

  it('are hours of today where it starts within today and reaches to now', () => {
    expect(segmentsOf('day', at('20T09:30'), NOW)).to.deep.equal([`hour ${at('20T09')} ${NOW}`])
  })

  it('pass over the ends of months and years', () => {
    expect(segmentsOf('day', '2023-12-31T23:30:00.000Z', '2024-03-01T00:30:00.000Z')).to.deep.equal([
      'hour 2023-12-31T23:00:00.000Z 2024-01-01T00:00:00.000Z',
      'day 2024-01-01T00:00:00.000Z 2024-03-01T00:00:00.000Z',
      'hour 2024-03-01T00:00:00.000Z 2024-03-01T00:30:00.000Z',
    ])
  })

  it('follow each other without a gap and without counting an hour twice', () => {
    const times = [
      '10T00',
      '10T00:01',
      '10T23:59',
      '11T00',
      '11T12',
      '12T00',
      '14T07:07',
      '20T15',
      '22T00',
      '22T01',
    ]
    for (const from of times) {
      for (const to of times.filter((later) => later > from)) {
        const found = segments({ granularity: 'day', from: at(from), to: at(to) }, NOW)
        found.slice(1).forEach((segment, i) => expect(segment.from).to.equal(found[i]?.to))
        expect(found[0]?.from).to.equal(`${at(from).slice(0, 13)}:00:00.000Z`)
        expect((found.at(-1)?.to ?? '') >= at(to), `${from} to ${to}`).to.equal(true)
      }
    }
  })
})

describe('the buckets of a range by the hour', () => {
  it('are hours, whatever its length', () => {
    expect(segmentsOf('hour', at('10T00'), at('13T00'))).to.deep.equal([`hour ${at('10T00')} ${at('13T00')}`])
    expect(segmentsOf('hour', at('10T00'), NOW)).to.deep.equal([`hour ${at('10T00')} ${NOW}`])
  })

  it('start with the hour that its start lies in', () => {
    expect(segmentsOf('hour', at('10T09:59'), at('10T10:01'))).to.deep.equal([
      `hour ${at('10T09')} ${at('10T10:01')}`,
    ])
  })
})
