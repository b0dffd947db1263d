import { expect } from 'chai'
import type { HistoryDocument } from '../../../../projections/tokenHistory.ts'
import { areOfOneStore, BEGINNING, createFeed, isPosition } from '../../../../src/application/feed/feed.ts'
import { createFeedWatch } from '../../../../src/application/feed/watch.ts'
import type { Query } from '../../../../src/application/ports/documents.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { eventually } from '../../../support/suite/eventually.ts'

const at = (n: number): string => String(n).padStart(16, '0')
const SILENT = { warn() {} }

describe('The feed', () => {
  let documents: HistoryDocument[]
  let checkpoint: number
  let finds: number

  const readModel = {
    async find(_: string, { where, after, limit }: Query) {
      finds++
      const account = where.find((one) => 'field' in one && one.field === 'accountId')
      const wanted = account && 'value' in account ? account.value : null
      return documents
        .filter(
          ({ position, accountId }) => position > String(after?.value) && (wanted ?? accountId) === accountId,
        )
        .sort((a, b) => (a.position < b.position ? -1 : 1))
        .slice(0, limit) as never
    },
    checkpoint: async () =>
      checkpoint === 0 ? null : { position: at(checkpoint), id: '', link: '', kept: null },
  }
  const apply = (n: number, type = 'TokenUpdated', accountId = 'acct_1') => {
    const place = { id: String(n), tokenId: 't', accountId, revision: n, position: at(n), at: '' }
    documents.push({ ...place, type, actor: { kind: 'jwt', id: 'a' }, requestId: '', data: {} })
  }
  const all = { accountId: 'acct_1', after: BEGINNING, types: null, limit: 100 }
  const positions = ({ data }: { data: HistoryDocument[] }) => data.map(({ position }) => Number(position))

  beforeEach(() => {
    documents = []
    checkpoint = 0
    finds = 0
  })

  it('keeps back what was applied early, until all before it is there', async () => {
    const feed = createFeed(readModel)
    apply(1)
    apply(3)
    checkpoint = 1
    const first = await feed.read(all)
    expect([positions(first), first.next]).to.deep.equal([[1], at(1)])
    apply(2)
    checkpoint = 3
    expect(positions(await feed.read({ ...all, after: first.next }))).to.deep.equal([2, 3])
  })

  it('waits for what this process has written', async () => {
    const feed = createFeed(readModel)
    apply(1)
    feed.applied([{ position: at(1) } as StoredEvent])
    setTimeout(() => (checkpoint = 1), 30)
    expect(positions(await feed.read(all))).to.deep.equal([1])
  })

  it('stops looking for rare types after a while, and says how far it came', async () => {
    const feed = createFeed(readModel)
    for (let n = 1; n <= 12_000; n++) apply(n, n === 11_000 ? 'TokenRevoked' : 'TokenUpdated')
    checkpoint = 12_000
    const rare = { ...all, types: new Set(['TokenRevoked']) }
    const found: number[] = []
    let [after, pages] = [BEGINNING, 0]
    for (;;) {
      finds = 0
      const page = await feed.read({ ...rare, after })
      expect(finds).to.be.at.most(11)
      found.push(...positions(page))
      if (page.next === after) break
      after = page.next
      pages++
    }
    expect(found).to.deep.equal([11_000])
    expect(pages).to.equal(3)
    expect(after).to.equal(at(12_000))
  })

  it('fills a page of some types exactly, and goes on behind its last event', async () => {
    const feed = createFeed(readModel)
    for (let n = 1; n <= 20; n++) apply(n, n % 2 === 0 ? 'TokenRevoked' : 'TokenUpdated')
    checkpoint = 20
    const query = { ...all, types: new Set(['TokenRevoked']), limit: 3 }
    const page = await feed.read(query)
    expect([positions(page), page.next]).to.deep.equal([[2, 4, 6], at(6)])
  })

  it('knows whether two positions are of one event store', () => {
    const other = `${'1'.repeat(20)}-${'2'.repeat(20)}`
    for (const [a, b] of [
      [at(1), at(2)],
      [other, other],
      [BEGINNING, at(1)],
      [other, BEGINNING],
    ] as const)
      expect(areOfOneStore(a, b), `${a} ${b}`).to.equal(true)
    for (const a of ['3', other, '1'.repeat(17)]) expect(areOfOneStore(a, at(1)), a).to.equal(false)
  })

  it('knows positions of either event store by their form', () => {
    for (const good of ['0', at(7), `${'1'.repeat(20)}-${'2'.repeat(20)}`])
      expect(isPosition(good), good).to.equal(true)
    for (const bad of ['', '-', 'x', '1-', '-1', ' 1', '1\n', '1'.repeat(21), '٣'])
      expect(isPosition(bad), bad).to.equal(false)
  })

  it('wakes those whose account has something new, and those who follow all', async () => {
    const feed = createFeed(readModel)
    const watch = createFeedWatch(feed, SILENT, 5)
    const woken = { mine: 0, others: 0, all: 0 }
    watch.follow('acct_1', () => woken.mine++)
    watch.follow('acct_2', () => woken.others++)
    const leave = watch.follow(null, () => woken.all++)
    // The first look tells everybody, since nobody knows what it has passed over.
    await eventually(() => expect(woken).to.deep.equal({ mine: 1, others: 1, all: 1 }))
    apply(1)
    checkpoint = 1
    await eventually(() => expect(woken).to.deep.equal({ mine: 2, others: 1, all: 2 }))
    leave()
    apply(2, 'TokenUpdated', 'acct_2')
    checkpoint = 2
    await eventually(() => expect(woken).to.deep.equal({ mine: 2, others: 2, all: 2 }))
    await watch.stop()
  })
})
