import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { type Db, MongoClient } from 'mongodb'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'
import { LeadershipLostError, StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { type Dump, dump, restore } from '../../support/stores/dump.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { describeWithMongod, type Mongod, startMongod } from '../../support/stores/mongod.ts'
import { rejection } from '../../contract/fixtures.ts'
import { add, others, people, piece, place, put } from '../../contract/readModel.fixtures.ts'

/** How long documents that were read may be believed, in milliseconds. */
const TRUSTED_MS = 1_000

describeWithMongod('A MongoDB that somebody changes beside its services', () => {
  let server: Mongod
  let client: MongoClient
  let url: string
  let database: Db
  let leading: ReadModel
  let other: ReadModel
  let older: Dump

  before(async () => {
    server = await startMongod({ set: 'rs0' })
  })
  after(() => server.stop())

  const open = async (): Promise<ReadModel> => {
    const model = await openMongoReadModel(url)
    await model.open([people, others])
    return model
  }

  beforeEach(async () => {
    url = server.url(`lost-${randomUUID()}`)
    client = await MongoClient.connect(url)
    database = client.db()
    leading = await open()
    other = await open()
    await leading.apply(
      [put('a', 0, { name: 'Ada' }), add('b', 1, { sum: { n: 1 } })],
      piece([people, others], 0, 1),
    )
    older = await dump(url)
    await leading.apply(
      [put('a', 1, { name: 'revoked' }), add('b', 2, { sum: { n: 1 } })],
      piece([people, others], 1, 2),
    )
    await other.checkpoint(people)
  })

  afterEach(async () => {
    await Promise.all([leading.close(), other.close(), client.close()])
  })

  const stored = (name: string): string => `${name}_v1`
  const harms: Record<string, () => Promise<unknown>> = {
    'the database dropped': () => database.dropDatabase(),
    'a collection dropped': () => database.dropCollection(stored('people')),
    'a collection emptied': () => database.collection(stored('people')).deleteMany({}),
    'the pointers dropped': () => database.dropCollection('pointers'),
    'the checkpoints dropped': () => database.dropCollection('checkpoints'),
    'the checkpoints emptied': () => database.collection('checkpoints').deleteMany({}),
    'an older dump restored': () => restore(url, older),
    'one collection of an older dump restored': () =>
      restore(url, older, { only: (name) => name === stored('people') }),
    'the checkpoints of an older dump restored': () =>
      restore(url, older, { only: (name) => name === 'checkpoints' }),
  }

  for (const [what, harm] of Object.entries(harms)) {
    describe(what, () => {
      beforeEach(harm)

      it('is noticed by all within a second, and nothing is read any more', async () => {
        await sleep(TRUSTED_MS)
        for (const model of [leading, other]) {
          expect(await rejection(model.get('people', 'a'))).to.be.instanceOf(StoreUnavailableError)
          expect(await rejection(model.find('people', { where: [], limit: 1 }))).to.be.instanceOf(
            StoreUnavailableError,
          )
          expect(await rejection(model.count('others', [], 1))).to.be.instanceOf(StoreUnavailableError)
          expect(model.loss()).to.contain('dropped, emptied or replaced')
          expect(model.losses()).to.equal(1)
          // The server itself is there.
          await model.ping()
        }
      })

      it('never makes what was there unknown, not even at once', async () => {
        for (const model of [leading, other]) {
          const found = await model.get('people', 'b').catch((error: unknown) => error)
          if (!(found instanceof StoreUnavailableError)) expect(found).to.include({ id: 'b' })
          const some = await model.find('people', { where: [], limit: 1 }).catch((error: unknown) => error)
          if (!(some instanceof StoreUnavailableError)) expect(some).to.have.length(1)
        }
      })

      it('lets no command pass for done', async () => {
        const done = await leading.apply([put('c', 0, { name: 'new' })]).then(
          () => 'done',
          (error: unknown) => error,
        )
        expect(done).to.be.instanceOf(StoreUnavailableError)
      })

      it('is filled again from nothing, with every count right, before anything of it is read', async () => {
        // The process that fills the read model has not noticed it yet.
        await leading
          .apply(
            [add('b', 3, { sum: { n: 1 } }), add('d', 3, { sum: { n: 1 } })],
            piece([people, others], 2, 3),
          )
          .catch(() => {})
        await eventually(async () => {
          await Promise.all([leading.ping(), other.ping()])
          expect([leading.losses(), other.losses()]).to.deep.equal([1, 1])
        })
        await leading.open([people, others])
        expect(await leading.checkpoint(people)).to.equal(null)
        const changes = [
          put('a', 0, { name: 'Ada' }),
          add('b', 1, { sum: { n: 1 } }),
          put('a', 1, { name: 'revoked' }),
          add('b', 2, { sum: { n: 1 } }),
          add('b', 3, { sum: { n: 1 } }),
          add('d', 3, { sum: { n: 1 } }),
        ]
        await leading.apply(changes, piece([people, others], 0, 3))
        expect(await rejection(leading.get('people', 'a'))).to.be.instanceOf(StoreUnavailableError)
        for (const model of [leading, other]) {
          await eventually(async () => {
            expect(await model.checkpoint(people)).to.deep.equal(place(3))
          })
          await model.trust(model.losses())
          expect(model.loss()).to.equal(null)
          expect(await model.get('people', 'a')).to.deep.equal({ id: 'a', name: 'revoked' })
          expect(await model.get('people', 'b')).to.deep.equal({ id: 'b', n: 3 })
          expect(await model.get('people', 'd')).to.deep.equal({ id: 'd', n: 1 })
          expect(await model.get('people', 'nobody')).to.equal(null)
        }
      })

      it('is not gone on with after a restart either', async () => {
        await Promise.all([leading.close(), other.close()])
        leading = await open()
        other = await open()
        const at = await leading.checkpoint(people)
        // If all parts are equally old, it is a sound read model of the past.
        if (what === 'an older dump restored') expect(at).to.deep.equal(place(1))
        else if (what === 'the checkpoints of an older dump restored') expect(at).to.deep.equal(place(1))
        else expect(at).to.equal(null)
      })
    })
  }

  it('a step that somebody dropped the documents under moves no checkpoint', async () => {
    await database.dropDatabase()
    const late = leading.apply([add('b', 3, { sum: { n: 1 } })], piece([people], 2, 3))
    expect(await rejection(late)).to.be.instanceOf(LeadershipLostError)
    const fresh = await open()
    expect(await fresh.checkpoint(people)).to.equal(null)
    await fresh.close()
  })

  it('a model that was lost again is not trusted for what was seen before', async () => {
    await database.dropDatabase()
    expect(await rejection(leading.get('people', 'nobody'))).to.be.instanceOf(StoreUnavailableError)
    await leading.open([people, others])
    await leading.apply([put('a', 0, { name: 'Ada' })], piece([people, others], 0, 1))
    await database.dropDatabase()
    expect(await rejection(leading.trust(1))).to.be.instanceOf(LeadershipLostError)
    expect(leading.loss()).to.not.equal(null)
  })

  it('nothing is lost by what belongs to it: many steps, commands, and a restore of what is there already', async () => {
    const announced: unknown[] = []
    const watch = other.watch('people', ['name'], (ids) => announced.push(ids))
    const until = performance.now() + 3_000
    let n = 2
    while (performance.now() < until) {
      await leading.apply(
        [add('b', n + 1, { sum: { n: 1 } }), put(`p${n}`, 0, { name: 'x' })],
        piece([people], n, n + 1),
      )
      n++
      await other.apply([put('a', n, { name: `name ${n}` })])
      expect(await other.get('people', 'nobody')).to.equal(null)
    }
    await restore(url, await dump(url), { drop: false })
    await sleep(TRUSTED_MS)
    expect(await other.get('people', 'b')).to.deep.equal({ id: 'b', n })
    expect([leading.losses(), other.losses()]).to.deep.equal([0, 0])
    await watch.close()
  })
})
