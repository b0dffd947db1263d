import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import fc from 'fast-check'
import type { DocumentChange } from '../../../projections/projection.ts'
import { LeadershipLostError } from '../../../src/application/ports/errors.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { describeOnMongo, type MongoServer, someMongo } from '../../support/stores/mongod.ts'
import { openPatiently } from '../../support/stores/patient.ts'
import { rejection } from '../../contract/fixtures.ts'
import { add, others, people, piece, place, put } from '../../contract/readModel.fixtures.ts'

describeOnMongo('Several processes on one MongoDB', () => {
  let server: MongoServer
  let one: ReadModel
  let two: ReadModel

  before(async () => {
    server = await someMongo({ set: 'rs0' })
  })

  after(() => server.stop())

  beforeEach(async () => {
    const url = server.url(`sharing-${randomUUID()}`)
    one = await openPatiently(url)
    two = await openPatiently(url)
    await one.open([people, others])
    await two.open([people, others])
  })

  afterEach(() => Promise.all([one.close(), two.close()]))

  describe('the lease', () => {
    const request = (id: string, lag = 0, ttlMs = 60_000) => ({ id, ttlMs, lag, caughtUp: lag === 0 })

    it('is one process’s, and the others hear of its lag', async () => {
      expect(await one.acquireLease('group', request('a', 1.5))).to.deep.equal({ term: 1 })
      expect(await two.acquireLease('group', request('b'))).to.deep.equal({
        term: null,
        lag: 1.5,
        caughtUp: false,
      })
      expect(await one.acquireLease('group', request('a', 2.5))).to.deep.equal({ term: 1 })
      expect(await two.acquireLease('group', request('b'))).to.deep.equal({
        term: null,
        lag: 2.5,
        caughtUp: false,
      })
    })

    it('is given to one of those who ask at once', async () => {
      const asked = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 ? one : two).acquireLease('group', request(`c${i}`))),
      )
      expect(asked.filter(({ term }) => term !== null)).to.deep.equal([{ term: 1 }])
    })

    it('is of each group by itself', async () => {
      await one.acquireLease('group', request('a'))
      expect(await two.acquireLease('another', request('b'))).to.deep.equal({ term: 1 })
    })

    it('ends when it is not renewed, and comes back in another term', async () => {
      await one.acquireLease('group', request('a', 0, 150))
      expect(await two.acquireLease('group', request('b'))).to.deep.equal({
        term: null,
        lag: 0,
        caughtUp: true,
      })
      await sleep(160)
      expect(await two.acquireLease('group', request('b'))).to.deep.equal({ term: 2 })
      expect(await one.acquireLease('group', request('a'))).to.deep.equal({
        term: null,
        lag: 0,
        caughtUp: true,
      })
    })

    it('keeps its term when nobody else took it meanwhile', async () => {
      await one.acquireLease('group', request('a', 0, 1))
      await sleep(20)
      expect(await one.acquireLease('group', request('a'))).to.deep.equal({ term: 1 })
    })

    it('is released at once by who has it, and by nobody else', async () => {
      await one.acquireLease('group', request('a'))
      await two.releaseLease('group', 'b')
      expect(await two.acquireLease('group', request('b'))).to.deep.equal({
        term: null,
        lag: 0,
        caughtUp: true,
      })
      await one.releaseLease('group', 'a')
      expect(await two.acquireLease('group', request('b'))).to.deep.equal({ term: 2 })
    })

    it('takes any text for an id', async () => {
      expect(await one.acquireLease('group', request('$holder'))).to.deep.equal({ term: 1 })
      expect(await two.acquireLease('group', request('$$NOW'))).to.deep.equal({
        term: null,
        lag: 0,
        caughtUp: true,
      })
    })
  })

  describe('one that follows the log without knowing that another does', () => {
    it('moves a checkpoint on, and never back', async () => {
      await one.apply([], piece([people], 0, 5))
      await two.apply([], piece([people], 5, 9))
      await one.apply([], piece([people], 5, 7))
      expect(await two.checkpoint(people)).to.deep.equal(place(9))
      await one.apply([], piece([people], 7, 12))
      expect(await two.checkpoint(people)).to.deep.equal(place(12))
    })

    it('leaves no gap, and gets an error', async () => {
      await one.apply([], piece([people, others], 0, 5))
      const gap = two.apply([put('a', 0, { n: 1 })], piece([people], 6, 9))
      expect(await rejection(gap)).to.be.instanceOf(LeadershipLostError)
      expect(await one.checkpoint(people)).to.deep.equal(place(5))
      expect(await one.get('people', 'a')).to.equal(null)
    })
  })

  describe('two that follow the log at the same time', () => {
    const step = fc.record({
      who: fc.nat(1),
      size: fc.integer({ min: 1, max: 6 }),
      back: fc.nat(8),
      wait: fc.boolean(),
    })

    it('do no harm, whoever is ahead, behind, or has lost the lease', async () => {
      let runs = 0
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 16 }), async (steps) => {
          const log = logOf(`run${runs++}`, 30)
          const at = [0, 0]
          const underWay: Promise<unknown>[] = []
          for (const { who, size, back, wait } of steps) {
            // Each process applies what follows its own last step, and some of that step again.
            const from = Math.max(0, (at[who] ?? 0) - back)
            const batch = log.slice(from, (at[who] ?? 0) + size)
            const own = underWay[who] ?? Promise.resolve()
            at[who] = Math.min(log.length, (at[who] ?? 0) + size)
            underWay[who] = own.then(() => (who ? one : two).apply(batch.flat()))
            if (wait) await underWay[who]
          }
          await Promise.all(underWay)
          await Promise.all([one.apply(log.slice(at[0]).flat()), two.apply(log.slice(at[1]).flat())])
          const id = `run${runs - 1}`
          expect(await one.get('people', id)).to.deep.equal({
            id,
            n: (30 * 31) / 2,
            name: 'n29',
            first: 'a01',
            last: 'a30',
            routes: { r0: 10, r1: 10, other: 10 },
          })
        }),
        { numRuns: 15 },
      )
    })

    const logOf = (id: string, length: number): DocumentChange[][] =>
      Array.from({ length }, (_, i) => [
        put(id, i, { name: `n${i}` }),
        add(id, i + 1, {
          sum: { n: i + 1 },
          min: { first: `a${String(i + 1).padStart(2, '0')}` },
          max: { last: `a${String(i + 1).padStart(2, '0')}` },
          top: [{ field: 'routes', cap: 2, other: 'other', counts: [[`r${i % 3}`, 1]] }],
        }),
      ])
  })

  describe('versions', () => {
    const next = { ...people, version: 2 }

    it('are published for all', async () => {
      expect(await two.isPublished([people])).to.equal(false)
      await one.publish([people])
      expect(await two.isPublished([people])).to.equal(true)
      expect(await two.isPublished([people, others])).to.equal(false)
      expect(await two.isPublished([next])).to.equal(false)
    })

    it('stay published when a later one is: a process of older code goes on with its own', async () => {
      await one.publish([people])
      await two.publish([next])
      await one.publish([people])
      expect(await one.isPublished([people])).to.equal(true)
      expect(await one.isPublished([next])).to.equal(true)
    })

    it('are not published by a later one', async () => {
      await two.publish([next])
      expect(await one.isPublished([people])).to.equal(false)
    })
  })
})
