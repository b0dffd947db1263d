import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import type { DocumentChange } from '../../projections/projection.ts'
import { bucketStart, usageId } from '../../projections/tokenUsage.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { createQueries, type Queries } from '../../src/application/analytics/queries.ts'
import type { Sort } from '../../src/application/tokens/query.ts'
import type { StatusFilter } from '../../src/application/tokens/tokenList.ts'
import { Refusal } from '../../src/domain/errors.ts'
import { undescribed } from '../support/events/undescribed.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'
import { rejection } from '../contract/fixtures.ts'

const NOW = Date.parse('2026-11-23T12:00:00.000Z')
const time = (offset: number): string => new Date(NOW + offset).toISOString()
const MANY = 2_400
const ACCOUNT = 'acct_1'
const STATUSES = ['live', 'active', 'expired', 'revoked', 'all'] as const
const SORTS = ['createdAt', 'name', 'lastAccessed', 'expiresAt'] as const

interface Token {
  id: string
  name: string
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
  lastAccessed?: string
}

/** @param active how many are neither revoked nor expired. They come before all others in the order of names */
function makeTokens(active: number): Token[] {
  return Array.from({ length: MANY }, (_, n) => {
    const isActive = n % Math.floor(MANY / active) === 0
    return {
      id: `00000000-0000-7000-8000-${String((n * 7919) % MANY).padStart(12, '0')}`,
      name: n % 3 === 0 ? 'same' : `${isActive ? 'z' : 'a'} ${n % 700}`,
      createdAt: time(-1_000_000 - (n % 900) * 1_000),
      expiresAt: isActive ? (n % 2 === 0 ? null : time(1_000 + n)) : time(n % 4 === 0 ? 5_000 : -(n % 50)),
      revokedAt: !isActive && n % 4 < 2 ? time(-1) : null,
      ...(n % 5 === 0 ? {} : { lastAccessed: time(-(n % 400) * 1_000) }),
    }
  })
}

const statusOf = ({ revokedAt, expiresAt }: Token): 'revoked' | 'expired' | 'active' =>
  revokedAt !== null ? 'revoked' : expiresAt !== null && expiresAt <= time(0) ? 'expired' : 'active'

const isIn = (status: StatusFilter, token: Token): boolean =>
  status === 'all' || (status === 'live' ? statusOf(token) !== 'revoked' : statusOf(token) === status)

function inOrder(tokens: readonly Token[], sort: Sort): string[] {
  const field = sort.replace('-', '') as (typeof SORTS)[number]
  const sign = sort.startsWith('-') ? -1 : 1
  return [...tokens]
    .sort((a, b) => {
      const [x, y] = [a[field] ?? null, b[field] ?? null]
      if (x !== y && (x === null || y === null)) return x === null ? 1 : -1
      return x === y ? (a.id < b.id ? -1 : 1) : ((x ?? '') < (y ?? '') ? -1 : 1) * sign
    })
    .map(({ id }) => id)
}

const toChanges = (made: Token): DocumentChange[] => {
  const { id, lastAccessed, ...token } = made
  const rest = {
    ...undescribed,
    hash: id,
    hashKeyId: 'k1',
    hint: '…',
    secret: { revision: 0, hint: '…' },
    scopes: [],
    createdBy: { kind: 'jwt', id: ACCOUNT },
    updatedAt: token.createdAt,
    revision: 0,
  }
  const status = statusOf(made)
  // Of some that have expired only the clock knows it.
  const phase = status === 'expired' && lastAccessed === undefined ? 'active' : status
  const fields = { accountId: ACCOUNT, nameFolded: token.name, phase }
  return [
    { kind: 'put', collection: 'tokens', id, revision: 0, fields: { ...token, ...rest, ...fields } },
    ...(lastAccessed === undefined
      ? []
      : [{ kind: 'latest', collection: 'tokens', id, field: 'lastAccessed', value: lastAccessed } as const]),
  ]
}

const usesOf = (tokenId: string, n: number): DocumentChange[] =>
  (['hour', 'day'] as const).map((granularity) => {
    const at = bucketStart(time(-(n % 48) * 3_600_000), granularity)
    const requests = 1 + (n % 7)
    return {
      kind: 'add',
      collection: 'tokenUsage',
      id: usageId(tokenId, granularity, at),
      position: '1',
      set: { tokenId, accountId: ACCOUNT, granularity, at },
      sum: { requests, 'outcomes.2xx': requests, 'secrets.0.requests': requests },
      min: { firstAt: at },
      max: { lastAt: at, 'secrets.0.lastAt': at },
      top: [{ field: 'routes', cap: 50, other: '* other', counts: [[`GET /r/${n}`, requests]] }],
    }
  })

const HOURS = { from: time(-60 * 3_600_000), to: time(3_600_000), granularity: 'hour' as const }

function manyTokens(open: () => Promise<ReadModel>): void {
  for (const [active, used] of [
    [90, 30],
    [1_200, 1_200],
  ] as const) {
    describe(`with ${active} active ones`, () => {
      const tokens = makeTokens(active)
      const usedOnes = tokens.filter((_, n) => n % Math.floor(MANY / used) === 0)
      let model: ReadModel
      let queries: Queries

      before(async () => {
        model = await open()
        await model.open(projections)
        await model.apply(tokens.flatMap(toChanges))
        await model.apply(usedOnes.flatMap(({ id }, n) => usesOf(id, n)))
        queries = createQueries(model, () => NOW)
      })
      after(() => model.close())

      for (const status of STATUSES) {
        it(`lists ${status} ones in every order, page by page`, async () => {
          const those = tokens.filter((token) => isIn(status, token))
          for (const sort of SORTS.flatMap((name): Sort[] => [name, `-${name}`])) {
            const expected = inOrder(those, sort)
            const found: string[] = []
            let cursor: string | null = null
            do {
              const page: { data: { id: string }[]; nextCursor: string | null } = await queries.list(
                ACCOUNT,
                { status, sort, limit: 100, ...(cursor !== null && { cursor }) },
              )
              found.push(...page.data.map(({ id }) => id))
              cursor = page.nextCursor
            } while (cursor !== null && found.length < 500)
            expect(found, sort).to.deep.equal(expected.slice(0, found.length))
            expect(found.length, sort).to.equal(Math.min(expected.length, 500))
          }
        })
      }

      it('finds those with a text in their names, wherever they are', async () => {
        for (const status of STATUSES) {
          const those = tokens.filter((token) => isIn(status, token) && token.name.includes('z 6'))
          const { data } = await queries.list(ACCOUNT, { status, q: 'Z 6', sort: '-name', limit: 100 })
          expect(data.map(({ id }) => id)).to.deep.equal(inOrder(those, '-name').slice(0, 100))
        }
      })

      it('finds those of which nothing is known that could be a hint', async () => {
        for (const accountId of [ACCOUNT, null])
          for (const status of STATUSES) {
            const those = tokens.filter((token) => isIn(status, token))
            const query = { status, hint: '…', sort: '-expiresAt', limit: 100 } as const
            const { data } = await queries.list(accountId, query)
            expect(data.map(({ id }) => id)).to.deep.equal(inOrder(those, '-expiresAt').slice(0, 100))
            expect((await queries.list(accountId, { ...query, q: 'nowhere' })).data).to.deep.equal([])
          }
      })

      it('reports the numbers of all, and lists of active ones', async () => {
        const query = { ...HOURS, idleDays: 1, expiringDays: 1, limit: 10 }
        const report = await queries.report(ACCOUNT, query)
        const count = (status: string) => tokens.filter((token) => statusOf(token) === status).length
        expect(report.tokens).to.deep.equal({
          active: count('active'),
          expired: count('expired'),
          revoked: count('revoked'),
          damaged: 0,
        })
        expect(report.top.total).to.equal(usedOnes.length)
        const never = tokens.filter((token) => isIn('active', token) && token.lastAccessed === undefined)
        expect(report.neverUsed.total).to.equal(never.length)
        expect(report.neverUsed.data.map(({ token }) => token.id)).to.deep.equal(
          inOrder(never, 'createdAt').slice(0, 10),
        )
      })

      it('has a row of usage for those that were used and those that are active, up to a bound', async () => {
        const { tokens: rows, moreTokens, total, routes } = await queries.usageOfAccount(ACCOUNT, HOURS)
        const listed = new Set(usedOnes.map(({ id }) => id))
        for (const token of tokens) if (isIn('active', token)) listed.add(token.id)
        expect([rows.length, moreTokens]).to.deep.equal([Math.min(listed.size, 1_000), listed.size > 1_000])
        for (const { tokenId } of rows) expect(listed.has(tokenId)).to.equal(true)
        const requests = rows.map((row) => row.requests)
        expect(requests).to.deep.equal(requests.toSorted((a, b) => b - a))
        expect(routes.reduce((sum, route) => sum + route.requests, 0)).to.equal(total.requests)
        expect(routes.length).to.be.at.most(1_001)
      })

      it('refuses a range with more buckets than may be read', async () => {
        const asked = (mostBuckets: number) => queries.usageOfAccount(ACCOUNT, HOURS, { mostBuckets })
        expect((await asked(usedOnes.length)).total.requests).to.be.greaterThan(0)
        expect(await rejection(asked(usedOnes.length - 1))).to.be.instanceOf(Refusal)
      })

      it('ends when nobody waits any more', async () => {
        const gone = new AbortController()
        const asked = queries.usageOfAccount(ACCOUNT, HOURS, { signal: gone.signal })
        gone.abort(new Error('gone'))
        expect(await rejection(asked)).to.have.property('message', 'gone')
      })
    })
  }
}

describe('An account of many tokens, most of them dead,', () => {
  describe('on SQLite', () => {
    let folder: string

    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'tokenledger-many-'))
    })
    after(() => rmSync(folder, { recursive: true, force: true }))

    manyTokens(() => openSqliteReadModel(join(folder, `${randomUUID()}.db`)))
  })

  describeWithMongod('on MongoDB', () => {
    let server: Mongod

    before(async () => {
      server = await startMongod({ set: 'rs0' })
    })
    after(() => server.stop())

    manyTokens(() => openPatiently(server.url(`many-${randomUUID()}`)))
  })
})
