import { expect } from 'chai'
import type { DocumentChange } from '../../projections/projection.ts'
import { LeadershipLostError, StoreUnavailableError } from '../../src/application/ports/errors.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { rejection } from './fixtures.ts'
import { add, latest, others, people, piece, place, put, total } from './readModel.fixtures.ts'
import { queryContract } from './readModelQueries.contract.ts'

export interface ReadModelHarness {
  /** A model without documents. */
  model: ReadModel
  /** Closes the model and opens it again on the same documents. */
  reopen(): Promise<ReadModel>
  dispose(): Promise<void>
}

/** What every read model must do, whatever store it is in. */
export function readModelContract(name: string, makeHarness: () => Promise<ReadModelHarness>): void {
  describe(`${name} as a read model`, () => {
    let harness: ReadModelHarness
    let model: ReadModel

    beforeEach(async () => {
      harness = await makeHarness()
      model = harness.model
      await model.open([people, others])
    })

    afterEach(() => harness.dispose())

    const get = (id: string) => model.get('people', id)

    it('can be opened again and keeps what it has', async () => {
      await model.apply([put('a', 0, { name: 'Ada' })], piece([people], 0, 3))
      await model.open([people, others])
      expect(await get('a')).to.deep.equal({ id: 'a', name: 'Ada' })
      model = await harness.reopen()
      await model.open([people, others])
      expect(await get('a')).to.deep.equal({ id: 'a', name: 'Ada' })
      expect(await model.checkpoint(people)).to.deep.equal(place(3))
    })

    it('has no document where none was made', async () => {
      expect(await get('nobody')).to.equal(null)
      expect(await model.find('people', { where: [], limit: 10 })).to.deep.equal([])
    })

    it('refuses a collection that no opened projection has', async () => {
      const change = { ...put('a', 0, {}), collection: 'nowhere' }
      expect(await rejection(model.apply([change]))).to.be.instanceOf(Error)
      expect(await rejection(model.get('nowhere', 'a'))).to.be.instanceOf(Error)
    })

    it('gives copies', async () => {
      await model.apply([put('a', 0, { name: 'Ada' })])
      const document = await get('a')
      if (document) document.name = 'changed'
      expect(await get('a')).to.deep.equal({ id: 'a', name: 'Ada' })
    })

    it('is unavailable once closed', async () => {
      await model.ping()
      await model.close()
      expect(await rejection(model.get('people', 'a'))).to.be.instanceOf(StoreUnavailableError)
      expect(await rejection(model.apply([put('a', 0, {})]))).to.be.instanceOf(StoreUnavailableError)
      expect(await rejection(model.ping())).to.be.instanceOf(StoreUnavailableError)
    })

    it('closes once, however many ask for it at once', async () => {
      await Promise.all([model.close(), model.close()])
      await model.close()
    })

    describe('put', () => {
      it('sets fields and leaves the others', async () => {
        await model.apply([put('a', 0, { name: 'Ada', age: 36 }), put('a', 1, { age: 37 })])
        expect(await get('a')).to.deep.equal({ id: 'a', name: 'Ada', age: 37 })
      })

      it('changes nothing the second time', async () => {
        const changes = [put('a', 0, { name: 'Ada', age: 36 }), put('a', 1, { age: 37 })]
        await model.apply(changes)
        await model.apply(changes)
        await model.apply([put('a', 0, { name: 'Ada', age: 36 })])
        expect(await get('a')).to.deep.equal({ id: 'a', name: 'Ada', age: 37 })
      })

      it('does not depend on the order of arrival', async () => {
        const changes = [
          put('', 0, { x: 0, y: 0, z: 0 }),
          put('', 1, { x: 1, y: 1 }),
          put('', 2, { x: 2, w: null }),
        ]
        const orders = [
          [0, 1, 2],
          [0, 2, 1],
          [1, 0, 2],
          [1, 2, 0],
          [2, 0, 1],
          [2, 1, 0],
        ]
        for (const [i, order] of orders.entries()) {
          const id = `order-${i}`
          for (const n of order) await model.apply([{ ...(changes[n] as DocumentChange), id }])
          expect(await get(id)).to.deep.equal({ id, x: 2, y: 1, z: 0, w: null })
        }
      })

      it('keeps lists, objects and any text', async () => {
        const fields = {
          list: ['b', 'a'],
          empty: [],
          nested: { 'a.b': [1, { $c: null }] },
          text: '\'"$ne\u0000🐘',
        }
        await model.apply([{ kind: 'put', collection: 'people', id: 'a', revision: 0, fields }])
        expect(await get('a')).to.deep.equal({ id: 'a', ...fields })
      })
    })

    describe('add', () => {
      it('moves counters, minima and maxima', async () => {
        const set = { of: 'a' }
        await model.apply([
          add('a', 1, { set, sum: { n: 2, 'by.x': 1 }, min: { first: 'm' }, max: { last: 'm' } }),
          add('a', 2, { set, sum: { n: 3, 'by.y': 4 }, min: { first: 'k' }, max: { last: 'k' } }),
          add('a', 3, { set, sum: { 'by.x': 1 }, min: { first: 'z' }, max: { last: 'z' } }),
        ])
        expect(await get('a')).to.deep.equal({
          id: 'a',
          of: 'a',
          n: 5,
          by: { x: 2, y: 4 },
          first: 'k',
          last: 'z',
        })
      })

      it('takes later positions only', async () => {
        const [one, two] = [add('a', 1, { sum: { n: 1 } }), add('a', 20, { sum: { n: 10 } })]
        await model.apply([one, two])
        await model.apply([one, two])
        await model.apply([two, add('a', 19, { sum: { n: 100 } })])
        expect(await get('a')).to.deep.equal({ id: 'a', n: 11 })
      })

      it('guards each document by itself', async () => {
        await model.apply([add('a', 5, { sum: { n: 1 } }), add('b', 4, { sum: { n: 1 } })])
        expect(await get('b')).to.deep.equal({ id: 'b', n: 1 })
      })

      it('goes together with put, whichever comes first', async () => {
        const [used, made] = [add('a', 9, { max: { last: 'x' } }), put('a', 0, { name: 'Ada' })]
        await model.apply([used])
        await model.apply([made])
        await model.apply([
          { ...made, id: 'b' },
          { ...used, id: 'b' },
        ])
        expect(await get('a')).to.deep.equal({ id: 'a', name: 'Ada', last: 'x' })
        expect(await get('b')).to.deep.equal({ id: 'b', name: 'Ada', last: 'x' })
      })

      it('counts the first keys by name and the rest as other', async () => {
        const top = (counts: [string, number][]) => ({
          top: [{ field: 'routes', cap: 2, other: 'other', counts }],
        })
        await model.apply([
          add('a', 1, top([['x', 1]])),
          add(
            'a',
            2,
            top([
              ['other', 1],
              ['y', 1],
              ['z', 1],
            ]),
          ),
        ])
        await model.apply([
          add(
            'a',
            3,
            top([
              ['z', 5],
              ['y', 1],
              ['x', 1],
            ]),
          ),
        ])
        expect(await get('a')).to.deep.equal({ id: 'a', routes: { x: 2, y: 2, other: 7 } })
      })

      it('takes any key', async () => {
        const keys = ['GET /a.b', '$where', 'constructor', '__proto__', '', 'ä🐘', '\'"']
        const counts = keys.map((key) => [key, 2] as const)
        const change = { top: [{ field: 'routes', cap: 50, other: 'other', counts }] }
        await model.apply([add('a', 1, change), add('a', 2, change)])
        const routes = (await get('a'))?.routes as Record<string, number>
        expect(new Map(Object.entries(routes))).to.deep.equal(new Map(keys.map((key) => [key, 4])))
      })
    })

    describe('total', () => {
      const one = add('a', 1, { set: { of: 'a' }, sum: { n: 2, 'by.x': 2 }, min: { first: 'm' } })
      const two = add('a', 2, { set: { of: 'a' }, sum: { n: 3, 'by.y': 3 }, min: { first: 'k' } })
      const three = add('a', 4, { set: { of: 'a' }, sum: { n: 1, 'by.x': 1 }, min: { first: 'z' } })
      const both = total('a', 3, { of: 'a', n: 5, by: { x: 2, y: 3 }, first: 'k' })
      const after = { id: 'a', of: 'a', n: 5, by: { x: 2, y: 3 }, first: 'k' }

      it('makes the same of a document that counts all, some or nothing of it', async () => {
        for (const [i, before] of [[one, two], [one], [two], []].entries()) {
          const id = `a${i}`
          await model.apply([...before, both].map((change) => ({ ...change, id })))
          expect(await get(id)).to.deep.equal({ ...after, id })
          await model.apply([{ ...three, id }])
          expect(await get(id)).to.deep.equal({ ...after, id, n: 6, by: { x: 3, y: 3 } })
        }
      })

      it('changes nothing when it comes again, nor do those it counts when they come late', async () => {
        await model.apply([both])
        await model.apply([one, two, both])
        expect(await get('a')).to.deep.equal(after)
        await model.apply([three])
        await model.apply([one, two, both, three])
        expect(await get('a')).to.deep.equal({ ...after, n: 6, by: { x: 3, y: 3 } })
      })

      it('leaves alone what counts more than it does', async () => {
        await model.apply([one, two])
        await model.apply([total('a', 3, { of: 'b', n: 4, by: { x: 4 }, first: 'z' })])
        await model.apply([total('a', 4, { of: 'b', n: 5, by: { x: 5 }, first: 'z' })])
        expect(await get('a')).to.deep.equal(after)
      })

      it('takes later positions only', async () => {
        await model.apply([two])
        await model.apply([total('a', 2, { of: 'b', n: 9 }), total('a', 1, { of: 'b', n: 9 })])
        expect(await get('a')).to.deep.equal({ id: 'a', of: 'a', n: 3, by: { y: 3 }, first: 'k' })
      })

      it('is made up for by a later one that counts more', async () => {
        await model.apply([both, total('a', 9, { of: 'a', n: 7, by: { x: 4, y: 3 }, first: 'a' })])
        await model.apply([both])
        expect(await get('a')).to.deep.equal({ id: 'a', of: 'a', n: 7, by: { x: 4, y: 3 }, first: 'a' })
      })

      it('takes any text and any key, which counting goes on from', async () => {
        const keys = ['GET /a.b', '$where', 'constructor', '__proto__', '', '$n', "'"]
        const routes = Object.fromEntries(keys.map((key) => [key, 2]))
        await model.apply([total('a', 1, { n: 14, of: '$n', routes })])
        const counts = [...keys, 'new'].map((key) => [key, 1] as const)
        await model.apply([add('a', 2, { top: [{ field: 'routes', cap: 7, other: 'other', counts }] })])
        const document = await get('a')
        expect(document?.of).to.equal('$n')
        expect(new Map(Object.entries(document?.routes as object))).to.deep.equal(
          new Map([...keys.map((key) => [key, 3] as const), ['other', 1]]),
        )
      })
    })

    describe('latest', () => {
      const seen = (id: string) => model.get('seen', id)
      const of = (id: string, revision: number, fields = { of: 'x' }): DocumentChange => ({
        ...put(id, revision, fields),
        collection: 'seen',
      })

      it('raises a member, in whatever order it comes, and makes a document that is missing', async () => {
        await model.apply([latest('a', '2'), latest('b', '9'), latest('a', '3'), latest('a', '1')])
        await model.apply([latest('a', '2'), latest('b', '8')])
        expect(await seen('a')).to.deep.equal({ id: 'a', at: '3' })
        expect(await seen('b')).to.deep.equal({ id: 'b', at: '9' })
      })

      it('leaves the rest of a document alone, and is left alone by it', async () => {
        await model.apply([of('a', 0), latest('a', '1')])
        await model.apply([latest('a', '2')])
        await model.apply([of('a', 1, { of: 'y' })])
        expect(await seen('a')).to.deep.equal({ id: 'a', of: 'y', at: '2' })
        await model.apply([latest('b', '5')])
        await model.apply([of('b', 0), latest('b', '4')])
        expect(await seen('b')).to.deep.equal({ id: 'b', of: 'x', at: '5' })
      })

      it('is for many documents at once', async () => {
        const ids = Array.from({ length: 95 }, (_, n) => `a${String(n).padStart(3, '0')}`)
        await model.apply(ids.flatMap((id) => [of(id, 0), latest(id, id)]))
        await model.apply(ids.map((id, n) => latest(id, n % 2 === 0 ? `b${id}` : 'A')))
        const where = [{ field: 'of', op: 'eq' as const, value: 'x' }]
        const found = await model.find('seen', { where, order: { field: 'at' }, limit: 200 })
        const expected = ids.map((id, n) => ({ id, of: 'x', at: n % 2 === 0 ? `b${id}` : id }))
        expect(found).to.deep.equal(expected.sort((a, b) => (a.at < b.at ? -1 : 1)))
      })

      it('goes with a document that is replaced', async () => {
        await model.apply([of('a', 0), latest('a', '1')])
        await model.apply([{ kind: 'replace', collection: 'seen', id: 'a', fields: { of: 'z' } }])
        expect(await seen('a')).to.deep.equal({ id: 'a', of: 'z' })
        const replaced = { kind: 'replace' as const, collection: 'seen', id: 'b', fields: { of: 'z' } }
        await model.apply([of('b', 0), latest('b', '1'), replaced])
        expect(await seen('b')).to.deep.equal({ id: 'b', of: 'z' })
        await model.apply([replaced, latest('b', '1')])
        expect(await seen('b')).to.deep.equal({ id: 'b', of: 'z', at: '1' })
      })
    })

    describe('insert', () => {
      it('adds a row once', async () => {
        const row = (n: number): DocumentChange => ({
          kind: 'insert',
          collection: 'rows',
          id: 'r',
          fields: { n },
        })
        await model.apply([row(1), row(2)])
        await model.apply([row(3)])
        expect(await model.get('rows', 'r')).to.deep.equal({ id: 'r', n: 1 })
      })
    })

    describe('apply', () => {
      it('keeps the checkpoint of each version and never moves it back', async () => {
        const next = { ...people, version: 2 }
        expect(await model.checkpoint(people)).to.equal(null)
        await model.apply([], piece([people, others], 0, 10))
        await model.apply([], piece([people], 0, 9))
        await model.apply([], piece([others], 10, 11))
        expect(await model.checkpoint(people)).to.deep.equal(place(10))
        expect(await model.checkpoint(others)).to.deep.equal(place(11))
        expect(await model.checkpoint(next)).to.equal(null)
      })

      it('refuses a piece of the log that does not follow on what there is', async () => {
        await model.apply([], piece([people, others], 0, 10))
        const gap = model.apply([add('a', 30, { sum: { n: 1 } })], piece([people], 20, 30))
        expect(await rejection(gap)).to.be.instanceOf(LeadershipLostError)
        expect(await get('a')).to.equal(null)
        expect(await model.checkpoint(people)).to.deep.equal(place(10))
        await model.apply([add('a', 20, { sum: { n: 1 } })], piece([people, others], 5, 20))
        await model.apply([], piece([people], 20, 40))
        const ofOne = model.apply([add('a', 50, { sum: { n: 1 } })], piece([people, others], 40, 50))
        expect(await rejection(ofOne)).to.be.instanceOf(LeadershipLostError)
        expect(await get('a')).to.deep.equal({ id: 'a', n: 1 })
      })

      it('takes many at once, also for one document', async () => {
        await Promise.all(
          Array.from({ length: 100 }, (_, i) =>
            model.apply([put(`p${i}`, 0, { i }), put('all', i, { [`f${i}`]: i, last: i })]),
          ),
        )
        const all = await get('all')
        expect(all).to.include({ last: 99, f0: 0, f50: 50, f99: 99 })
        expect(await model.count('people', [], 1_000)).to.equal(101)
      })

      it('fails alone when a unique field is taken, and leaves nothing behind', async () => {
        await model.apply([put('a', 0, { email: 'x@y' })])
        const taken = rejection(model.apply([put('b', 0, { email: 'x@y' })]))
        const neighbour = model.apply([
          put('c', 0, { email: null }),
          put('d', 0, { name: 'no email' }),
          put('e', 0, { email: null }),
        ])
        expect(await taken).to.be.instanceOf(Error)
        await neighbour
        await model.apply([put('b', 0, { email: 'z@y' })])
        expect(await get('b')).to.deep.equal({ id: 'b', email: 'z@y' })
        expect(await get('c')).to.deep.equal({ id: 'c', email: null })
      })
    })

    describe('sharing', () => {
      it('gives the lease to one process, which renews it by asking again', async () => {
        const request = { id: 'one', ttlMs: 5_000, lag: 0, caughtUp: true }
        const { term } = await model.acquireLease('group', request)
        expect(term).to.be.greaterThan(0)
        expect(await model.acquireLease('group', request)).to.deep.equal({ term })
      })

      it('gives the lease again after it was released, in no earlier term', async () => {
        const request = { id: 'one', ttlMs: 5_000, lag: 0, caughtUp: true }
        const { term } = await model.acquireLease('group', request)
        await model.releaseLease('group', 'one')
        expect((await model.acquireLease('group', { ...request, id: 'two' })).term).to.be.at.least(
          Number(term),
        )
        await model.releaseLease('group', 'nobody')
      })

      it('knows what was published', async () => {
        await model.publish([people, others])
        await model.publish([people])
        expect(await model.isPublished([people, others])).to.equal(true)
      })

      it('watches until it is told to stop', async () => {
        const watch = model.watch('people', ['name'], () => {})
        expect(watch.isLive()).to.be.a('boolean')
        await watch.close()
      })
    })

    queryContract(() => model)
  })
}
