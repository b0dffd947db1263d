import { expect } from 'chai'
import { eachDocument } from '../../../../src/application/readModel/pages.ts'
import type { Document, Query } from '../../../../src/application/ports/documents.ts'

/** A collection of so many documents, and the queries that it got. */
function collection(count: number) {
  const documents: Document[] = Array.from({ length: count }, (_, i) => ({
    id: `d${String(i).padStart(3, '0')}`,
  }))
  const asked: Query[] = []
  const find = async (_: string, query: Query): Promise<Document[]> => {
    asked.push(query)
    const start = query.after ? documents.findIndex(({ id }) => id === query.after?.id) + 1 : 0
    return documents.slice(start, start + query.limit)
  }
  return { documents, asked, find }
}

async function walk(count: number, page: number) {
  const { documents, asked, find } = collection(count)
  const found: unknown[] = []
  for await (const document of eachDocument({ find }, 'things', { where: [], page })) found.push(document)
  expect(found).to.deep.equal(documents)
  return asked
}

describe('a walk through a collection', () => {
  it('asks page by page, and goes on behind the last document', async () => {
    const asked = await walk(25, 10)
    expect(asked.map(({ limit }) => limit)).to.deep.equal([10, 10, 10])
    expect(asked.map(({ after }) => after)).to.deep.equal([
      undefined,
      { value: null, id: 'd009' },
      { value: null, id: 'd019' },
    ])
  })

  it('ends where a page is not full', async () => {
    expect(await walk(0, 10)).to.have.lengthOf(1)
    expect(await walk(9, 10)).to.have.lengthOf(1)
    expect(await walk(10, 10)).to.have.lengthOf(2)
  })
})
