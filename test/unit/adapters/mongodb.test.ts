import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import {
  BSON,
  type Db,
  Long,
  type MongoClient,
  MongoBulkWriteError,
  MongoNetworkError,
  MongoServerError,
} from 'mongodb'
import { applyChanges } from '../../../src/adapters/mongodb/documents/apply.ts'
import { type Target, targetsAt } from '../../../src/adapters/mongodb/documents/collections.ts'
import { toStoreError, toWriteError, within } from '../../../src/adapters/mongodb/database/errors.ts'
import { readProven } from '../../../src/adapters/mongodb/database/primacy.ts'
import { watchCollection } from '../../../src/adapters/mongodb/sharing/watch.ts'
import { type Instant, now } from '../../../src/application/ports/clock.ts'
import { RefusedChangeError, StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { people, put } from '../../contract/readModel.fixtures.ts'
import { rejection } from '../../contract/fixtures.ts'

/** What only a server could show that is made to: late answers, full batches, and errors of each kind. */
describe('The MongoDB adapter', () => {
  describe('a watch', () => {
    const changes = (n: number) =>
      Array.from({ length: n }, (_, i) => ({ operationType: 'insert', documentKey: { _id: `t${i}` } }))

    /** A replica set that gives one answer to each `getMore`, and after the last one none. */
    function scripted(
      answers: { ms: number; batch: object[] }[],
      provenAt: () => Instant | null = now,
      trusted = () => true,
    ) {
      const said: string[] = []
      const command = async (asked: object): Promise<unknown> => {
        if ('aggregate' in asked) return { cursor: { id: Long.fromNumber(1) } }
        const next = answers.shift()
        if (!next) return new Promise(() => {})
        await sleep(next.ms)
        said.push('answer')
        return { cursor: { nextBatch: next.batch } }
      }
      const renew = async () => void said.push('proof')
      const replicaSet = {
        client: { startSession: () => ({ endSession: async () => {} }) } as unknown as MongoClient,
        database: { command } as unknown as Db,
        primacy: { reign: () => 'a', ensure: async () => 'a', renew, keepFresh() {}, provenAt },
      }
      let name = 'people_v1'
      const watched = { target: () => ({ name }) as Target, keep() {}, isTrusted: () => trusted() }
      const watch = watchCollection(replicaSet, watched, ['name'], (ids) => {
        said.push(ids ? `${ids.size} changed, ${watch.isLive()}` : `any, ${watch.isLive()}`)
      })
      return { watch, said, move: (to: string) => void (name = to) }
    }

    it('proves who answers, then tells that any may have changed, then is live', async () => {
      const { watch, said } = scripted([])
      expect(watch.isLive()).to.equal(false)
      await sleep(10)
      expect(said).to.deep.equal(['proof', 'any, false'])
      expect(watch.isLive()).to.equal(true)
    })

    it('is not live while nobody knows whether the documents have moved', async () => {
      let trusted = false
      const { watch } = scripted([], now, () => trusted)
      await sleep(10)
      expect(watch.isLive()).to.equal(false)
      trusted = true
      expect(watch.isLive()).to.equal(true)
    })

    it('begins again where the documents have moved to, and any may have changed', async () => {
      const { watch, said, move } = scripted([
        { ms: 5, batch: [] },
        { ms: 5, batch: [] },
      ])
      await sleep(2)
      move('people_v1_g2')
      await sleep(100)
      expect(said.filter((one) => one.startsWith('any'))).to.deep.equal(['any, false', 'any, false'])
      expect(watch.isLive()).to.equal(true)
    })

    it('is worth the moment it asked, not the one it was answered', async () => {
      const { watch, said } = scripted([{ ms: 400, batch: [] }])
      await sleep(500)
      expect(said).to.include('answer')
      expect(watch.isLive()).to.equal(true)
      await sleep(600)
      expect(watch.isLive()).to.equal(false)
    })

    it('is worth no more than the proof that the one who answers is the primary', async () => {
      const proven = now()
      const { watch } = scripted(
        Array.from({ length: 30 }, () => ({ ms: 50, batch: [] })),
        () => proven,
      )
      await sleep(500)
      expect(watch.isLive()).to.equal(true)
      await sleep(600)
      expect(watch.isLive()).to.equal(false)
    })

    it('is worth nothing more for a full batch, behind which there may be others', async () => {
      const full = Array.from({ length: 30 }, () => ({ ms: 50, batch: changes(1_000) }))
      const { watch, said } = scripted(full)
      await sleep(500)
      expect(said).to.include('1000 changed, true')
      await sleep(600)
      expect(watch.isLive()).to.equal(false)
    })
  })

  describe('a read that has to be proven', () => {
    /** A proof and a client that reads, each of which knows a primary. */
    function between(proof: string, reader: string) {
      const seen = { proof, reader, reads: 0, onRead: () => {} }
      const primacy = { reign: () => seen.proof, ensure: async () => seen.proof }
      const read = async () => {
        const of = seen.reader
        seen.reads++
        await sleep(5)
        seen.onRead()
        return of
      }
      return { seen, run: (ms = 1_000) => readProven(primacy, () => seen.reader, read, ms) }
    }

    it('counts where both know the same primary', async () => {
      const { seen, run } = between('a 1', 'a 1')
      expect(await run()).to.equal('a 1')
      expect(seen.reads).to.equal(1)
    })

    it('waits for a client that has not heard of the new primary', async () => {
      const { seen, run } = between('b 2', 'a 1')
      setTimeout(() => (seen.reader = 'b 2'), 60)
      expect(await run()).to.equal('b 2')
      expect(seen.reads, 'none from the old one').to.equal(1)
    })

    it('waits for the proof, where the client that reads has heard first', async () => {
      const { seen, run } = between('a 1', 'b 2')
      setTimeout(() => (seen.proof = 'b 2'), 60)
      expect(await run()).to.equal('b 2')
      expect(seen.reads).to.equal(1)
    })

    for (const who of ['proof', 'reader'] as const) {
      it(`is done again when a new primary comes up for the ${who} while it is on its way`, async () => {
        const { seen, run } = between('a 1', 'a 1')
        seen.onRead = () => {
          seen[who] = 'b 2'
          setTimeout(() => (seen.proof = seen.reader = 'b 2'), 30)
          seen.onRead = () => {}
        }
        expect(await run()).to.equal('b 2')
        expect(seen.reads).to.equal(2)
      })
    }

    it('is given up where they never agree', async () => {
      const { seen, run } = between('a 1', 'b 2')
      expect(await rejection(run(100))).to.be.instanceOf(StoreUnavailableError)
      expect(seen.reads).to.equal(0)
    })
  })

  describe('an application of changes', () => {
    const failure = (message: string, code: number) =>
      new MongoBulkWriteError({ message, code }, {} as MongoBulkWriteError['result'])

    /** @returns how many times it was tried */
    async function attempts(...failures: Error[]): Promise<number> {
      let tries = 0
      const bulkWrite = async () => {
        tries++
        const next = failures.shift()
        if (next) throw next
      }
      const targets = targetsAt([people], () => 1)
      const database = { collection: () => ({ bulkWrite }) } as unknown as Db
      await applyChanges((work) => work(database), targets, [put('a', 0, { n: 1 })]).catch(() => {})
      return tries
    }

    it('is tried again when another made the same document at the same time', async () => {
      const race = failure(
        'E11000 duplicate key error collection: x.people_v1 index: _id_ dup key: {}',
        11000,
      )
      expect(await attempts(race)).to.equal(2)
    })

    it('is tried again for each document that another made at the same time', async () => {
      const race = () =>
        failure('E11000 duplicate key error collection: x.people_v1 index: _id_ dup key: {}', 11000)
      expect(await attempts(race(), race(), race())).to.equal(4)
    })

    it('is not tried for ever', async () => {
      const race = () =>
        failure('E11000 duplicate key error collection: x.people_v1 index: _id_ dup key: {}', 11000)
      expect(await attempts(...Array.from({ length: 100 }, race))).to.be.below(20)
    })

    it('is not tried again when a unique field is taken', async () => {
      const taken = failure(
        'E11000 duplicate key error collection: x.people_v1 index: email_1 dup key: {}',
        11000,
      )
      expect(await attempts(taken)).to.equal(1)
    })
  })

  describe('an error of the driver', () => {
    const ofServer = (code: number) => new MongoServerError({ message: 'secret', code })

    for (const [title, error] of [
      ['of the network', new MongoNetworkError('secret')],
      [
        'of the network, in a bulk write',
        new MongoBulkWriteError(new MongoNetworkError('secret'), {} as never),
      ],
      ['of a socket', Object.assign(new Error('secret'), { code: 'EPIPE' })],
      ['of a server that is no primary', ofServer(10107)],
      ['of a server that ran out of time', ofServer(50)],
    ] as const) {
      it(`${title} is an outage`, () => {
        expect(toStoreError(error)).to.be.instanceOf(StoreUnavailableError)
        expect((toStoreError(error) as Error).message).to.not.contain('secret')
      })
    }

    it('about what was asked is none', () => {
      expect(toStoreError(ofServer(121))).to.not.be.instanceOf(StoreUnavailableError)
      expect((toStoreError(ofServer(121)) as Error).message).to.not.contain('secret')
    })

    for (const code of [11_000, 121, 2, 9, 14, 10334, 17280, 17419, 52, 54, 55]) {
      it(`about what was written is said by the server, and lasts: ${code}`, () => {
        const error = toWriteError(ofServer(code))
        expect(error).to.be.instanceOf(RefusedChangeError)
        expect((error as Error).message).to.not.contain('secret')
        expect((error as RefusedChangeError).kind).to.equal(code === 11_000 ? 'taken' : 'refused')
      })
    }

    it('that nobody knows, or that was never sent, neither lasts for certain nor is an outage', () => {
      const never = [new RangeError('offset'), new TypeError('secret'), new BSON.BSONError('secret')]
      Object.assign(never[0] as Error, { code: 'ERR_OUT_OF_RANGE' })
      for (const error of [...never, ofServer(40_400)].map(toWriteError)) {
        expect(error).to.be.instanceOf(Error)
        expect(error).to.not.be.instanceOf(StoreUnavailableError)
        expect(error).to.not.be.instanceOf(RefusedChangeError)
        expect((error as Error).message).to.not.contain('secret')
      }
    })

    it('of an outage, a full disk or a quota is none of the documents', () => {
      for (const code of [6, 89, 91, 189, 10107, 13435, 14031, 8000, 50, 112, 64])
        expect(toWriteError(ofServer(code)), String(code)).to.be.instanceOf(StoreUnavailableError)
      expect(toWriteError(new MongoNetworkError('secret'))).to.be.instanceOf(StoreUnavailableError)
    })

    it('is not waited for', async () => {
      expect(await rejection(within(10, new Promise(() => {})))).to.be.instanceOf(StoreUnavailableError)
    })
  })
})
