import { expect } from 'chai'
import { bucketsCsv } from '../../../../scripts/commands/usage.ts'
import { ttlFrom } from '../../../../scripts/commands/jwt.ts'
import { WrongUse } from '../../../../scripts/cli/command.ts'
import { bytes, csv, progress, table } from '../../../../scripts/cli/output.ts'
import { changesOf } from '../../../../scripts/cli/tokenTables.ts'

describe('Output of the command line', () => {
  it('aligns a table, numbers to the right', () => {
    const text = table(
      ['name', 'n'],
      [
        ['a', 5],
        ['longer', 1000],
      ],
    )
    expect(text).to.equal('name       n\na          5\nlonger  1000\n')
  })

  it('lets no stored text write to the terminal', () => {
    const text = table(['route'], [['/a\u001B[2J\u202Eb\nc']])
    expect(text).to.equal('route\n/a\uFFFD[2J\uFFFDb\uFFFDc\n')
  })

  it('quotes CSV as RFC 4180 says', () => {
    const text = csv(
      ['a', 'b'],
      [
        ['x,y', 'say "no"'],
        ['two\r\nlines', 3],
      ],
    )
    expect(text).to.equal('a,b\r\n"x,y","say ""no"""\r\n"two\r\nlines",3\r\n')
  })

  for (const cell of ['=1+1', '+1', '-1', '@SUM(A1)', '\tx', '\rx']) {
    it(`disarms ${JSON.stringify(cell)} for spreadsheets`, () => {
      expect(
        csv([], [[cell]])
          .split('\r\n')[1]
          ?.replace(/^"/, ''),
      ).to.match(/^'/)
    })
  }

  it('leaves numbers alone, negative ones too', () => {
    expect(csv(['n'], [[-1]])).to.equal('n\r\n-1\r\n')
  })

  it('has a column for each outcome, and 0 where a bucket has none of it', () => {
    const text = bucketsCsv({
      total: { requests: 3, outcomes: { '4xx': 1, '2xx': 1, '=cmd': 1 } },
      buckets: [
        { at: 'day 1', requests: 2, outcomes: { '2xx': 1, '=cmd': 1 } },
        { at: 'day 2', requests: 1, outcomes: { '4xx': 1 } },
      ],
    })
    expect(text).to.equal("at,requests,2xx,4xx,'=cmd\r\nday 1,2,1,0,1\r\nday 2,1,0,1,0\r\n")
  })

  it('tells old and new of what changed', () => {
    const changes = changesOf([
      { type: 'TokenCreated', data: { token_id: 'x', name: 'CI', expires_at: null } },
      { type: 'TokenUpdated', data: { name: 'CD', expires_at: '2027' } },
      { type: 'TokenUpdated', data: { name: 'CE' } },
      { type: 'TokenRevoked', data: { reason: null } },
    ])
    expect(changes).to.deep.equal([
      'name "CI", expires_at none',
      'name "CI" → "CD", expires_at none → "2027"',
      'name "CD" → "CE"',
      'reason none',
    ])
  })

  it('tells in words what happened to secrets, and shows no change of what they do not change', () => {
    const beside = { hint: 'old', revision: 0, retires_at: null }
    const started = (more: object) => ({
      type: 'TokenRotationStarted',
      data: { hint: 'new', activate: 'on_first_use', grace_seconds: 86_400, beside, ...more },
    })
    const remaining = { hint: 'new', revision: 1 }
    const changes = changesOf([
      { type: 'TokenCreated', data: { hint: 'old', expires_at: '2027' } },
      started({}),
      started({ activate: 'now', grace_seconds: 60 }),
      started({ activate: 'now', grace_seconds: 0 }),
      started({ beside: { ...beside, retires_at: '2026' } }),
      { type: 'TokenSecretActivated', data: { revision: 1, hint: 'new', grace_seconds: 86_400 } },
      { type: 'TokenSecretActivated', data: { revision: 1, hint: 'new', grace_seconds: null } },
      { type: 'TokenRotationEnded', data: { status: 'grace', hint: 'old', remaining } },
      { type: 'TokenRotationEnded', data: { status: 'pending', hint: 'newer', remaining } },
      { type: 'TokenLeaked', data: { source: 'github commit', url: 'https://x', type: 'key', hint: 'new' } },
      { type: 'TokenExpiring', data: { days: 7, expires_at: '2027' } },
      { type: 'TokenUpdated', data: { expires_at: '2028' } },
    ])
    expect(changes).to.deep.equal([
      'hint "old", expires_at "2027"',
      'secret "new" is new; "old" is accepted until 86400 s after the first use of the new one',
      'secret "new" is new; "old" is accepted for 60 s more',
      'secret "new" is new; "old" is dead',
      'secret "new" is new; "old" is accepted until 2026, as before',
      'secret "new" was used for the first time; the older one is accepted for 86400 s more',
      'secret "new" was used for the first time',
      'secret "old", the older one, is dead; "new" goes on',
      'secret "newer", which nobody had used, is dead; "new" goes on',
      'secret "new" was found by "github commit" as "key" at "https://x"',
      'days 7, expires_at "2027"',
      'expires_at "2027" → "2028"',
    ])
  })

  it('writes sizes in binary units', () => {
    expect([0, 1023, 1024, 1536, 200 * 1024 ** 2, 2 ** 40].map(bytes)).to.deep.equal([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '200 MiB',
      '1.0 TiB',
    ])
  })

  describe('progress', () => {
    /** Draws two steps of two seconds each. @returns the output of each redraw */
    function drawn(terminal: boolean): string[] {
      let text = ''
      let time = 0
      const err = (more: string): void => void (text += more)
      const io = { env: {}, out() {}, write: async () => {}, err, terminal, now: () => time }
      const bar = progress(io, 2)
      bar.step('first')
      for (time = 1; time <= 2000; time++) bar.at(time / 2000, 500 + time)
      bar.step('second', 'row')
      time += 1000
      bar.at(null, 1)
      bar.done()
      return text.split('\r\u001B[K').slice(1)
    }

    it('is a line now and then where nobody watches', () => {
      let text = ''
      let time = 0
      const err = (more: string): void => void (text += more)
      const io = { env: {}, out() {}, write: async () => {}, err, terminal: false, now: () => time }
      const bar = progress(io, 1)
      bar.step('importing', 'row')
      for (time = 0; time <= 25_000; time += 100) bar.at(time / 50_000, time)
      bar.note('waiting')
      bar.done()
      expect(text.split('\n').slice(0, -1)).to.deep.equal([
        'importing: 20 %, 10000 rows, 1000/s, 40 s left',
        'importing: 40 %, 20000 rows, 1000/s, 30 s left',
        'waiting',
      ])
    })

    it('is drawn only where a person watches, and leaves nothing behind', () => {
      expect(drawn(false)).to.deep.equal([])
      expect(drawn(true).at(-1)).to.equal('')
    })

    it('shows share, count, rate and time left of a step, what an earlier run did not counted in', () => {
      expect(drawn(true)[0]).to.equal('[--------------------] first')
      expect(drawn(true)).to.include('[#####---------------] first: 50 %, 1500 events, 999/s, 1 s left')
    })

    it('shows no share where nobody knows it', () => {
      expect(drawn(true).at(-2)).to.equal('[##########----------] second: 1 row, 0/s')
    })

    it('is not drawn more often than the eye sees', () => {
      expect(drawn(true).length).to.be.within(15, 30)
    })
  })
})

describe('--ttl', () => {
  it('is seconds, or a number with a unit', () => {
    expect(['90', '90s', '15m', '12h', '30d'].map(ttlFrom)).to.deep.equal([90, 90, 900, 43_200, 2_592_000])
  })

  for (const text of ['0', '-1', '1.5h', 'h', '1w', '1e3', '366d', '']) {
    it(`is not '${text}'`, () => {
      expect(() => ttlFrom(text)).to.throw(WrongUse)
    })
  }
})
