import { expect } from 'chai'
import type { Condition, Document, Query } from '../../../../src/application/ports/documents.ts'
import type { DocumentReader } from '../../../../src/application/ports/readModel.ts'
import { listTokens } from '../../../../src/application/tokens/tokenList.ts'

const NOW = '2026-11-23T00:00:00.000Z'

const phaseIn = (where: readonly Condition[]): unknown =>
  where.flatMap((one) => ('field' in one && one.field === 'phase' ? [one.value] : []))[0]

/**
 * Finds any number of active tokens, the later ones with the earlier names, and remembers in which order it was asked.
 */
function model(matching: number) {
  const orders: unknown[] = []
  const reader: DocumentReader = {
    get: async () => null,
    count: async (_collection, where, limit) => (phaseIn(where) === 'active' ? Math.min(matching, limit) : 0),
    async find(_collection, { where, order, limit }: Query) {
      if (phaseIn(where) !== 'active') return []
      orders.push(order)
      return Array.from({ length: Math.min(matching, limit) }, (_none, n): Document => {
        const id = String(n).padStart(5, '0')
        return { id, name: String(99_999 - n), expiresAt: id }
      })
    },
  }
  return { reader, orders }
}

describe('A list of tokens of which an index picks out some', () => {
  const asked = { status: 'live', expiringDays: 14, limit: 3, after: null } as const
  const byName = { field: 'name', descending: false }

  it('is sorted here, if these are few', async () => {
    const { reader, orders } = model(2_000)
    const found = await listTokens(reader, null, { ...asked, order: byName }, NOW)
    expect(found.map(({ id }) => id)).to.deep.equal(['01999', '01998', '01997'])
    expect(orders).to.deep.equal([{ field: 'expiresAt' }])
  })

  it('is read in its order, if these are many, and nothing is read before', async () => {
    const { reader, orders } = model(2_001)
    await listTokens(reader, null, { ...asked, order: byName }, NOW)
    expect(orders).to.deep.equal([byName])
  })

  it('is read in its order, if the index has that', async () => {
    const { reader, orders } = model(10)
    const order = { field: 'expiresAt', descending: true }
    await listTokens(reader, null, { ...asked, order }, NOW)
    expect(orders).to.deep.equal([order])
  })
})

describe('A list of tokens of several phases', () => {
  it('has those that have expired in any order, and passes by none that has not', async () => {
    const asked: unknown[] = []
    const reader: DocumentReader = {
      get: async () => null,
      count: async (_collection, where, limit) => (phaseIn(where) === 'expired' ? Math.min(5_000, limit) : 1),
      async find(_collection, { where, order }: Query) {
        asked.push([phaseIn(where), order])
        return []
      },
    }
    const order = { field: 'createdAt', descending: true }
    await listTokens(reader, null, { status: 'expired', order, after: null, limit: 3 }, NOW)
    const onlyByTheClock = ['active', { field: 'expiresAt' }]
    expect(asked).to.deep.equal([onlyByTheClock, ['expired', order]])
  })

  it('has a token once that comes from one to the next while it is read, as it is then', async () => {
    const token = { id: 'a', createdAt: NOW }
    const asked: unknown[] = []
    const reader: DocumentReader = {
      get: async () => null,
      count: async () => 0,
      async find(_collection, { where }: Query) {
        const phase = phaseIn(where)
        asked.push(phase)
        return phase === 'active' ? [{ ...token, revision: 0 }] : [{ ...token, revision: asked.length - 1 }]
      },
    }
    const order = { field: 'createdAt', descending: false }
    const list = { status: 'all', order, after: null, limit: 10 } as const
    expect(await listTokens(reader, null, list, NOW)).to.deep.equal([{ ...token, revision: 2 }])
    expect(asked, 'as tokens go').to.deep.equal(['active', 'expired', 'revoked'])
  })
})
