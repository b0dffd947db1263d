import { expect } from 'chai'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const START = Date.parse('2026-11-23T12:00:00.000Z')
const SORTS = ['created_at', 'name', 'last_accessed', 'expires_at'] as const

describe('Listing tokens', () => {
  let now = START
  let service: TestService
  let owner: Api
  const ids: Record<string, string> = {}

  before(async () => {
    service = await startLedger({ clock: () => now })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    const make = async (name: string, input: object = {}) => {
      now += 1000
      const created = await createToken(owner, { name, ...input })
      ids[name] = created.id
      return created
    }
    const inDays = (days: number) => ({ expires_at: new Date(START + days * 86_400_000).toISOString() })
    const alpha = await make('alpha')
    await make('Beta deploy', inDays(3))
    const gamma = await make('gamma', inDays(1))
    await make('ÄPFEL deploy', inDays(3))
    await make('soon over', inDays(0.01))
    const gone = await make('gone')
    await owner.delete(`${TOKENS}/${gone.id}`)
    for (const { token, id } of [gamma, alpha]) {
      now += 1000
      await callerOf(service.url, tokenHeader(token)).get('/auth/verify')
      await eventually(async () =>
        expect((await owner.get(`${TOKENS}/${id}`)).body.last_accessed).not.to.equal(null),
      )
    }
    // Both have the same time, so only their ids differ.
    await Promise.all([createToken(owner, { name: 'twin' }), createToken(owner, { name: 'twin' })])
    now = START + 0.5 * 86_400_000
  })
  after(() => service.close())

  const list = async (query = '') => (await owner.get(`${TOKENS}${query}`)).body
  const names = async (query = '') => (await list(query)).data.map(({ name }) => name)

  it('shows those that are not revoked, newest first', async () => {
    const { data, next_cursor } = await list()
    expect(data.map(({ name }) => name)).to.deep.equal([
      'twin',
      'twin',
      'soon over',
      'ÄPFEL deploy',
      'gamma',
      'Beta deploy',
      'alpha',
    ])
    expect(next_cursor).to.equal(null)
  })

  it('shows each token as reading it does', async () => {
    for (const token of (await list('?status=all')).data) {
      expect((await owner.get(`${TOKENS}/${token.id}`)).body).to.deep.equal(token)
    }
  })

  it('filters by status', async () => {
    expect(await names('?status=expired')).to.deep.equal(['soon over'])
    expect(await names('?status=revoked')).to.deep.equal(['gone'])
    expect(await names('?status=active'))
      .to.have.lengthOf(6)
      .and.not.include.members(['soon over', 'gone'])
    expect(await names('?status=live')).to.deep.equal(await names())
    expect(await names('?status=all')).to.have.lengthOf(8)
  })

  it('searches in names, ignoring case, and takes no character for a pattern', async () => {
    expect(await names('?q=DEPLOY')).to.deep.equal(['ÄPFEL deploy', 'Beta deploy'])
    expect(await names('?q=%C3%A4pfel')).to.deep.equal(['ÄPFEL deploy'])
    expect(await names('?q=A%CC%88pfel')).to.deep.equal(['ÄPFEL deploy'])
    expect(await names('?q=eta+dep')).to.deep.equal(['Beta deploy'])
    for (const pattern of ['%25', '_', '.', '.*', '%27', '%5C', '%00', '%E0%A4%A']) {
      expect(await names(`?q=${pattern}`), pattern).to.deep.equal([])
    }
    expect(await names('?q=')).to.deep.equal(await names())
    expect(await names('?q=gone&status=revoked')).to.deep.equal(['gone'])
  })

  it('sorts by each field in both directions, nulls last, ties by id', async () => {
    const fields = {
      created_at: 'created_at',
      name: 'name',
      last_accessed: 'last_accessed',
      expires_at: 'expires_at',
    } as const
    for (const sort of SORTS) {
      for (const sign of ['', '-']) {
        const { data } = await list(`?status=all&sort=${sign}${sort}`)
        const expected = [...data].sort((a, b) => {
          const [x, y] = [a[fields[sort]], b[fields[sort]]]
          if (x === y) return a.id < b.id ? -1 : 1
          if (x === null || y === null) return x === null ? 1 : -1
          return x < y === (sign === '') ? -1 : 1
        })
        expect(
          data.map(({ id }) => id),
          sign + sort,
        ).to.deep.equal(expected.map(({ id }) => id))
        expect(data).to.have.lengthOf(8)
      }
    }
    expect((await names('?sort=-last_accessed')).slice(0, 2)).to.deep.equal(['alpha', 'gamma'])
    expect((await names('?sort=expires_at')).slice(0, 2)).to.deep.equal(['soon over', 'gamma'])
  })

  it('walks every order page by page without leaving out or repeating any, by cursor and by Link alike', async () => {
    for (const sort of SORTS.flatMap((field) => [field, `-${field}`])) {
      for (const limit of [1, 3, 8]) {
        // A token that expires meanwhile is told of, so its revision may move.
        const whole = (await list(`?status=all&sort=${sort}`)).data.map(({ id }) => id)
        const walked: string[] = []
        let path = `${TOKENS}?status=all&sort=${sort}&limit=${limit}`
        for (let pages = 0; path !== ''; pages++) {
          expect(pages, 'it ends').to.be.below(10)
          const { body, headers } = await owner.get(path)
          expect(body.data).to.have.lengthOf.at.most(limit)
          walked.push(...body.data.map(({ id }) => id))
          path = nextOf(headers.get('link'))
          expect(path === '', 'Link and next_cursor agree').to.equal(body.next_cursor === null)
          if (path !== '')
            expect(new URL(path, service.url).searchParams.get('cursor')).to.equal(body.next_cursor)
        }
        expect(walked, `${sort} by ${limit}`).to.deep.equal(whole)
      }
    }
  })

  it('keeps its place when tokens come and go between pages', async () => {
    const caller = callerOf(service.url, bearer(jwtFor('acct_moving')))
    for (const name of ['a', 'b', 'c', 'd']) await createToken(caller, { name })
    const { body } = await caller.get(`${TOKENS}?sort=name&limit=2`)
    await caller.delete(`${TOKENS}/${body.data[1]?.id}`)
    await createToken(caller, { name: 'aa' })
    const next = await caller.get(`${TOKENS}?sort=name&limit=2&cursor=${body.next_cursor}`)
    expect(next.body.data.map(({ name }) => name)).to.deep.equal(['c', 'd'])
  })

  it('finds a name whatever its case is, in any script', async () => {
    const caller = callerOf(service.url, bearer(jwtFor('acct_scripts')))
    for (const name of ['ΑΣΦΑΛΕΙΑ', 'Hauptstraße', 'İzmir']) await createToken(caller, { name })
    for (const [q, name] of [
      ['ΑΣ', 'ΑΣΦΑΛΕΙΑ'],
      ['ας', 'ΑΣΦΑΛΕΙΑ'],
      ['STRASSE', 'Hauptstraße'],
      ['i\u0307ZMIR', 'İzmir'],
    ] as const) {
      const { body } = await caller.get(`${TOKENS}?q=${encodeURIComponent(q)}`)
      expect(
        body.data.map((token) => token.name),
        q,
      ).to.deep.equal([name])
    }
  })

  it('refuses a cursor that it did not give for this order', async () => {
    const { next_cursor } = await list('?sort=name&limit=1')
    const bad = ['x', 'bnVsbA', Buffer.from('["tokens name",{},"x"]').toString('base64url'), '', '%00']
    for (const query of [
      ...bad.map((cursor) => `?sort=name&cursor=${cursor}`),
      `?sort=-name&cursor=${next_cursor}`,
    ]) {
      const { status, body } = await owner.get(`${TOKENS}${query}`)
      expect(status, query).to.equal(422)
      expect(body.errors[0]?.pointer).to.equal('?cursor')
    }
  })

  it('refuses values that are none, and parameters that come twice', async () => {
    const bad = {
      '?limit': [
        'limit=0',
        'limit=101',
        'limit=-1',
        'limit=1.5',
        'limit=x',
        'limit=',
        'limit=1&limit=2',
        'limit=0x10',
        'limit=1e1',
        'limit=%201',
      ],
      '?status': ['status=gone', 'status=', 'status=ACTIVE', 'status=live&status=all', 'status[]=live'],
      '?sort': ['sort=id', 'sort=-', 'sort=hash', 'sort=name,-created_at', 'sort=nameFolded'],
      '?q': [`q=${'x'.repeat(101)}`],
      '?__proto__': ['__proto__=1'],
      '?constructor': ['constructor=1'],
    }
    for (const [pointer, queries] of Object.entries(bad)) {
      for (const query of queries) {
        const { status, body } = await owner.get(`${TOKENS}?${query}`)
        expect(status, query).to.equal(422)
        expect(body.errors[0]?.pointer.replace('[]', ''), query).to.equal(pointer)
      }
    }
    expect((await owner.get(`${TOKENS}?limit=100`)).status).to.equal(200)
  })

  it('shows an account its own tokens only', async () => {
    const stranger = callerOf(service.url, bearer(jwtFor('acct_2')))
    expect((await stranger.get(`${TOKENS}?status=all`)).body).to.deep.equal({ data: [], next_cursor: null })
    const { next_cursor } = await list('?limit=1')
    expect((await stranger.get(`${TOKENS}?cursor=${next_cursor}`)).body.data).to.deep.equal([])
  })
})

const nextOf = (link: string | null): string => /^<([^>]+)>; rel="next"$/.exec(link ?? '')?.[1] ?? ''
