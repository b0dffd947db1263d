import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { expect } from 'chai'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { describeWithMongod, initiateSet, type Mongod, startMongod } from '../../support/stores/mongod.ts'
import { whenAvailable, patient } from '../../support/stores/patient.ts'
import { stopwatch } from '../../support/suite/stopwatch.ts'
import { rejection } from '../../contract/fixtures.ts'
import { add, people, piece, put } from '../../contract/readModel.fixtures.ts'

const NOTHING = () => {}
const where = [{ field: 'kind', op: 'eq', value: 'person' }] as const

/**
 * In milliseconds: so that nobody waits for as long as the driver would by itself, which is 30 s. Half of it is room for
 * a busy machine.
 */
const READ_MS = 2_000
const WRITE_MS = 7_000

/** Every call that a request may have to wait for. */
const reads: Record<string, (model: ReadModel) => Promise<unknown>> = {
  get: (model) => model.get('people', 'a'),
  find: (model) => model.find('people', { where, order: { field: 'age' }, limit: 5 }),
  count: (model) => model.count('people', where, 5),
  ping: (model) => model.ping(),
  checkpoint: (model) => model.checkpoint(people),
  isPublished: (model) => model.isPublished([people]),
}

const writes: Record<string, (model: ReadModel) => Promise<unknown>> = {
  apply: (model) => model.apply([put('a', 9, { name: 'x' })], piece([people], 0, 1)),
  acquireLease: (model) => model.acquireLease('group', { id: 'a', ttlMs: 1_000, lag: 0, caughtUp: true }),
  releaseLease: (model) => model.releaseLease('group', 'a'),
  publish: (model) => model.publish([people]),
}

async function expectAll(model: ReadModel, calls: typeof reads, limit: number): Promise<void> {
  await Promise.all(
    Object.entries(calls).map(async ([name, call]) => {
      const took = stopwatch()
      const error = await rejection(call(model))
      expect(error, name).to.be.instanceOf(StoreUnavailableError)
      expect(inspect(error), name).to.not.contain('127.0.0.1')
      expect(took(), name).to.be.below(limit)
    }),
  )
}

/** Calls repeatedly for some time: the first call meets a socket, and later ones a server that is known to be gone. */
async function expectUnavailable(model: ReadModel, ms: number): Promise<void> {
  const until = performance.now() + ms
  while (performance.now() < until) {
    await Promise.all([expectAll(model, reads, READ_MS), expectAll(model, writes, WRITE_MS)])
  }
}

for (const [name, set] of [
  ['a replica set', 'rs0'],
  ['a standalone server', undefined],
] as const) {
  describeWithMongod(`An outage of MongoDB, ${name},`, () => {
    let server: Mongod
    let model: ReadModel

    before(async () => {
      server = await startMongod({ ...(set && { set }) })
    })

    after(() => server.stop())

    beforeEach(async () => {
      const url = server.url(`outage-${randomUUID()}`)
      model = await whenAvailable(() => openMongoReadModel(url))
      await patient(model).open([people])
      await patient(model).apply([put('a', 0, { name: 'Ada' })])
    })

    afterEach(() => model.close())

    async function expectRecovery(): Promise<void> {
      const took = stopwatch()
      await eventually(async () => {
        expect(await model.get('people', 'a')).to.include({ id: 'a' })
        await model.apply([put('a', 10, { name: 'again' })])
      })
      expect(took()).to.be.below(5_000)
    }

    it('is told in time when the server is frozen, and over when it is thawed', async () => {
      await server.freeze()
      try {
        await expectUnavailable(model, 2_500)
      } finally {
        server.thaw()
      }
      await expectRecovery()
    })

    it('is told in time when the server is gone, and over when it is back', async () => {
      await server.kill()
      await expectUnavailable(model, 1_000)
      await expectAll(model, { open: () => openMongoReadModel(server.url('x')) }, WRITE_MS)
      await server.restart()
      await expectRecovery()
    })

    it('does not hold up closing', async () => {
      model.watch('people', ['name'], NOTHING)
      await server.freeze()
      const took = stopwatch()
      try {
        await model.close()
      } finally {
        server.thaw()
      }
      expect(took()).to.be.below(5_000)
    })

    it('loses nothing that was acknowledged when the server is killed, and counts nothing twice', async () => {
      const acknowledged: string[] = []
      let stopping = false
      const writing = [0, 1, 2].map(async (writer) => {
        for (let n = 0; !stopping; n++) {
          const id = `${writer}-${n}`
          await model.apply([put(id, 0, { n })]).then(() => acknowledged.push(id), NOTHING)
        }
      })
      let applied = 0
      const counting = (async () => {
        while (!stopping) {
          const batch = [1, 2, 3].map((n) => add('sum', applied + n, { sum: { n: 1 } }))
          // As a projector does, this applies the same batch until it succeeds.
          const isTaken = await model.apply(batch).then(
            () => true,
            () => false,
          )
          if (isTaken) applied += batch.length
        }
      })()
      for (let round = 0; round < 2; round++) {
        await sleep(300 + 200 * Math.random())
        await server.kill()
        await server.restart()
        await model.ping().catch(NOTHING)
      }
      await sleep(500)
      stopping = true
      await Promise.all([...writing, counting])
      await patient(model).apply([1, 2, 3].map((n) => add('sum', applied + n, { sum: { n: 1 } })))
      expect(acknowledged.length).to.be.above(50)
      for (const id of acknowledged) expect(await patient(model).get('people', id), id).to.not.equal(null)
      expect(await patient(model).get('people', 'sum')).to.deep.equal({ id: 'sum', n: applied + 3 })
    })
  })
}

describeWithMongod('A MongoDB primary that is cut off from the others', () => {
  const servers: Mongod[] = []

  before(async () => {
    const three = Array.from({ length: 3 }, () => startMongod({ set: 'rs3', initiate: false }))
    servers.push(...(await Promise.all(three)))
  })

  after(() => Promise.all(servers.map((server) => server.stop())))

  it('is not believed two seconds later, and is again when it is not alone any more', async () => {
    const ports = servers.map(({ port }) => port)
    const primary = await initiateSet('rs3', ports)
    const hosts = ports.map((port) => `127.0.0.1:${port}`).join()
    const url = `mongodb://${hosts}/cut?replicaSet=rs3`
    const model = await whenAvailable(() => openMongoReadModel(url))
    const unwatched = await whenAvailable(() => openMongoReadModel(url))
    const others = servers.filter(({ port }) => port !== primary)
    try {
      await patient(model).open([people])
      await patient(unwatched).open([people])
      await patient(model).apply([put('a', 0, { name: 'Ada' })])
      const watch = model.watch('people', ['name'], NOTHING)
      const isLive = () => eventually(async () => expect(watch.isLive()).to.equal(true))
      await isLive()
      await patient(unwatched).ping()

      await Promise.all(others.map((other) => other.freeze()))
      await sleep(2_000)
      expect(watch.isLive()).to.equal(false)
      for (const each of [model, unwatched]) await expectAll(each, reads, READ_MS)

      for (const other of others) other.thaw()
      await isLive()
      expect(await patient(unwatched).get('people', 'a')).to.deep.equal({ id: 'a', name: 'Ada' })
    } finally {
      for (const other of others) other.thaw()
      await model.close()
      await unwatched.close()
    }
  })
})
