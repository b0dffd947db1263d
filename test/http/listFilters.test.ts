import { expect } from 'chai'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { eventually } from '../support/suite/eventually.ts'

const DAY_MS = 86_400_000
const START = Date.parse('2026-08-01T12:00:00.000Z')
/** When everything is asked: 95 days after the start. */
const NOW = START + 95 * DAY_MS
const SORTS = ['created_at', 'name', 'last_accessed', 'expires_at'].flatMap((field) => [field, `-${field}`])

interface Listed {
  data: (Body & { daily?: number[] })[]
  next_cursor: string | null
  counts?: { live: number; expiring: number; never_expires: number; unused: number }
}

describe('A list of tokens that need a look', () => {
  let now = START
  let service: TestService
  let owner: Api
  let operator: Api
  const hints: Record<string, string> = {}

  const make = async (name: string, input: object = {}, api = owner): Promise<Body> => {
    const token = await createToken(api, { name, ...input })
    hints[name] = token.hint
    return token
  }
  const use = async ({ id, token }: Body, times = 1): Promise<void> => {
    const before = (await owner.get(`${TOKENS}/${id}`)).body.last_accessed
    for (let i = 0; i < times; i++)
      expect((await callerOf(service.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(200)
    await eventually(async () =>
      expect((await owner.get(`${TOKENS}/${id}`)).body.last_accessed).not.to.equal(before),
    )
  }
  const at = (days: number) => ({ expires_at: new Date(START + days * DAY_MS).toISOString() })

  before(async () => {
    service = await startLedger({ clock: () => now, maxTokensPerAccount: 1_000 })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    operator = callerOf(service.url, bearer(jwtFor('ann', { scope: 'tokenledger:operator' })))
    // Made 95 days ago.
    await make('old, never used')
    const oldUsed = await make('old, used at once', at(100))
    await use(oldUsed)
    const busy = await make('old, busy', at(105))
    await make('expired', at(50))
    const gone = await make('gone')
    now = START + 5 * DAY_MS
    // Exactly 90 days ago.
    await make('on the day', at(120))
    now = START + 6 * DAY_MS
    await make('young, never used', { description: 'Deploys the SHOP\nfrom its CI', ...at(109) })
    now = NOW - 2 * DAY_MS
    await use(busy, 2)
    now = NOW - DAY_MS
    await use(busy)
    await make('of another', {}, callerOf(service.url, bearer(jwtFor('acct_2'))))
    await owner.delete(`${TOKENS}/${gone.id}`)
    now = NOW
    await use(busy, 3)
  })
  after(() => service.close())

  const list = async (query: string, api = owner, path = TOKENS): Promise<Listed> => {
    const { status, body } = await api.get(`${path}?${query}`)
    expect(status, JSON.stringify(body)).to.equal(200)
    return body
  }
  const names = async (query: string, api?: Api, path?: string): Promise<string[]> =>
    (await list(query, api, path)).data.map(({ name }) => name)

  const LOOKED_FOR: [query: string, expected: string[]][] = [
    ['unused_days=90', ['expired', 'old, never used', 'old, used at once', 'on the day']],
    ['unused_days=95', ['expired', 'old, never used', 'old, used at once']],
    ['unused_days=96', []],
    [
      'unused_days=1&status=active',
      ['of another', 'old, never used', 'old, used at once', 'on the day', 'young, never used'],
    ],
    ['unused_days=90&status=revoked', ['gone']],
    ['unused_days=90&status=all', ['expired', 'gone', 'old, never used', 'old, used at once', 'on the day']],
    ['expiring_days=14', ['old, busy', 'old, used at once', 'young, never used']],
    ['expiring_days=5', ['old, used at once']],
    ['expiring_days=4', []],
    ['expiring_days=3650&status=expired', []],
    ['never_expires=true', ['of another', 'old, never used']],
    ['never_expires=true&status=all', ['gone', 'of another', 'old, never used']],
    ['never_expires=true&status=expired', []],
    ['never_expires=true&expiring_days=14', []],
    ['never_expires=true&unused_days=90', ['old, never used']],
    ['unused_days=90&expiring_days=14', ['old, used at once']],
    ['unused_days=90&q=USED', ['old, never used', 'old, used at once']],
    ['q=deploys+the+shop', ['young, never used']],
    ['q=shop%0Afrom', ['young, never used']],
    ['expiring_days=14&q=shop', ['young, never used']],
  ]
  for (const [query, expected] of LOOKED_FOR) {
    const own = expected.filter((name) => name !== 'of another')
    it(`holds ${own.length} by ${query}, in every order, page by page, for operators and by hint too`, async () => {
      for (const sort of SORTS) {
        const whole = await names(`${query}&sort=${sort}`)
        expect([...whole].sort(), sort).to.deep.equal(own)
        const paged: string[] = []
        for (let cursor = ''; ; ) {
          const page = await list(`${query}&sort=${sort}&limit=1${cursor}`)
          paged.push(...page.data.map(({ name }) => name))
          if (page.next_cursor === null) break
          cursor = `&cursor=${page.next_cursor}`
        }
        expect(paged, sort).to.deep.equal(whole)
      }
      expect((await names(query, operator, '/admin/api-tokens')).sort()).to.deep.equal(expected)
      for (const [name, hint] of Object.entries(hints)) {
        const found = await names(`${query}&hint=${encodeURIComponent(hint)}`, operator, '/admin/api-tokens')
        expect(found, name).to.deep.equal(expected.includes(name) ? [name] : [])
      }
    })
  }

  it('is counted on request, as the lists are, whatever else is asked for', async () => {
    const { counts, data } = await list('counts=true&q=busy&limit=1')
    expect(counts).to.deep.equal({ live: 6, expiring: 3, never_expires: 1, unused: 4 })
    expect(data.map(({ name }) => name)).to.deep.equal(['old, busy'])
    for (const [name, query] of [
      ['live', ''],
      ['expiring', 'expiring_days=14'],
      ['never_expires', 'never_expires=true'],
      ['unused', 'unused_days=90'],
    ] as const)
      expect(await names(query), name).to.have.lengthOf(counts?.[name] ?? -1)
    expect(await list('counts=false')).not.to.have.property('counts')
    expect(await list('never_expires=false')).to.deep.equal(await list(''))
    const admin = '/admin/api-tokens'
    expect((await list('counts=true', operator, admin)).counts).to.deep.equal({
      live: 7,
      expiring: 3,
      never_expires: 2,
      unused: 4,
    })
    const ofOne = await list('counts=true&account=acct_2', operator, admin)
    expect(ofOne.counts).to.deep.equal({ live: 1, expiring: 0, never_expires: 1, unused: 0 })
  })

  it('has the requests of each day on request, oldest first, today last', async () => {
    const dailyOf = async (days: number, name: string) =>
      (await list(`daily=${days}`)).data.find((token) => token.name === name)?.daily
    expect(await dailyOf(4, 'old, busy')).to.deep.equal([0, 2, 1, 3])
    expect(await dailyOf(1, 'old, busy')).to.deep.equal([3])
    expect(await dailyOf(30, 'old, never used')).to.deep.equal(Array(30).fill(0))
    expect((await list('')).data[0]).not.to.have.property('daily')
    const ofAll = await list('daily=3&sort=name', operator, '/admin/api-tokens')
    expect(ofAll.data.map(({ name, daily }) => [name, daily])).to.deep.include(['old, busy', [2, 1, 3]])
  })

  it('is asked for by tokens as well, and from code', async () => {
    const { token } = await createToken(callerOf(service.url, bearer(jwtFor('acct_3'))))
    const own = callerOf(service.url, tokenHeader(token))
    const { counts, data } = await list('counts=true&daily=2', own)
    expect(counts).to.include({ live: 1, never_expires: 1 })
    expect(data[0]?.daily).to.have.lengthOf(2)
    const page = await service.ledger.tokens.list('acct_1', {
      unusedDays: 90,
      neverExpires: true,
      counts: true,
      daily: 30,
    })
    expect(page.counts).to.deep.equal({ live: 6, expiring: 3, neverExpires: 1, unused: 4 })
    expect(page.data.map(({ name, daily }) => [name, daily?.length])).to.deep.equal([['old, never used', 30]])
  })

  it('is refused for what is no number of days, and no truth value', async () => {
    for (const query of [
      'unused_days=0',
      'unused_days=3651',
      'unused_days=-1',
      'unused_days=many',
      'expiring_days=',
      'expiring_days=1.5',
      'never_expires=yes',
      'never_expires=',
      'counts=1',
      'daily=0',
      'daily=31',
      'daily=1&daily=2',
    ]) {
      const { status, body } = await owner.get(`${TOKENS}?${query}`)
      expect([status, body.code], query).to.deep.equal([422, 'validation_failed'])
      expect(body.errors[0]?.pointer).to.equal(`?${query.split('=', 1)[0]}`)
    }
  })
})
