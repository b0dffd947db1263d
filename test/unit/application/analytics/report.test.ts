import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect } from 'chai'
import type { Document, Query } from '../../../../src/application/ports/documents.ts'
import type { ReadModel } from '../../../../src/application/ports/readModel.ts'
import { createReportQuery } from '../../../../src/application/analytics/report.ts'

const NOW = '2026-11-23T00:00:00.000Z'
const TOKENS = 250

const pad = (n: number): string => String(n).padStart(4, '0')
/** In the order of their ids, which is not that of their uses. */
const usesOf = (n: number): number => (n * 7919) % TOKENS

/** Tokens whose orders by id, by creation and by use are all different, and their uses on one day. */
function model(change: (n: number) => object = () => ({})) {
  const tokens: Document[] = Array.from({ length: TOKENS }, (_, n) => ({
    id: pad(n),
    accountId: 'a',
    createdAt: `2026-01-01T00:00:00.${String((n * 31) % TOKENS).padStart(3, '0')}Z`,
    revokedAt: null,
    expiresAt: null,
    ...(usesOf(n) > 0 ? { lastAccessed: '2026-11-20T00:00:00.000Z' } : {}),
    ...change(n),
  }))
  let underWay = 0
  const askedFor: number[] = []
  const find = async (collection: string, { where, after, order, limit }: Query): Promise<Document[]> => {
    const { value } = (where[0] ?? {}) as { value?: string | string[] }
    if (collection === 'tokens')
      return order === 'any'
        ? tokens.filter(({ id }) => value?.includes(id))
        : tokens.filter(({ id }) => id > (after?.id ?? '')).slice(0, limit)
    askedFor.push(++underWay)
    await nextTurn()
    underWay--
    const [tokenId] = String(value).split('_')
    return [{ id: String(value), tokenId, requests: usesOf(Number(tokenId)) }]
  }
  const query = createReportQuery({ find } as unknown as ReadModel, () => Date.parse(NOW))
  const report = (limit: number) =>
    query.report(null, {
      from: '2026-11-01T00:00:00.000Z',
      to: NOW,
      idleDays: 90,
      expiringDays: 30,
      limit,
    })
  return { report, askedFor }
}

describe('the report', () => {
  it('keeps the first rows of each list, whatever the order they come in', async () => {
    const { report, askedFor } = model()
    const { top, withoutExpiry, tokens, neverUsed } = await report(10)
    expect(top.data.map(({ requests }) => requests)).to.deep.equal(
      Array.from({ length: 10 }, (_, i) => TOKENS - 1 - i),
    )
    const created = withoutExpiry.data.map(({ token }) => token.createdAt.slice(-4, -1))
    expect(created).to.deep.equal(Array.from({ length: 10 }, (_, i) => `00${i}`))
    expect([top.total, withoutExpiry.total, neverUsed.total]).to.deep.equal([TOKENS - 1, TOKENS, 1])
    expect(tokens.active).to.equal(TOKENS)
    expect(Math.max(...askedFor), 'tokens whose uses are held at a time').to.equal(100)
  })

  it('breaks ties by id', async () => {
    const { report } = model(() => ({ createdAt: NOW }))
    const { withoutExpiry } = await report(3)
    expect(withoutExpiry.data.map(({ token }) => token.id)).to.deep.equal(['0000', '0001', '0002'])
  })

  it('counts tokens that cannot be trusted, and shows none', async () => {
    const { report } = model(() => ({ stopped: 'damaged' }))
    const { tokens, top, withoutExpiry, neverUsed } = await report(10)
    expect(tokens).to.deep.equal({ active: 0, expired: 0, revoked: 0, damaged: TOKENS })
    expect([top.total, withoutExpiry.total, neverUsed.total]).to.deep.equal([0, 0, 0])
  })
})
