import { expect } from 'chai'
import type { Document, Query } from '../../../../src/application/ports/documents.ts'
import type { DocumentReader } from '../../../../src/application/ports/readModel.ts'
import { listTokens } from '../../../../src/application/tokens/tokenList.ts'

const NOW = '2026-11-23T00:00:00.000Z'

/** Finds any number of tokens, the later ones with the earlier names, and remembers in which order it was asked. */
function model(matching: number) {
  const orders: unknown[] = []
  const reader: DocumentReader = {
    get: async () => null,
    count: async (_collection, _where, limit) => Math.min(matching, limit),
    async find(_collection, { order, limit }: Query) {
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
