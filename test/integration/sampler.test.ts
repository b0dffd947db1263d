import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { MongoClient } from 'mongodb'
import { projections } from '../../projections/index.ts'
import type { DocumentChange, Value } from '../../projections/projection.ts'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { unseal } from '../../src/adapters/sqlite/documents/seal.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import type { Document } from '../../src/application/ports/documents.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { createProjector, type Projector } from '../../src/application/projection/projector.ts'
import { type Sampler, startSampler } from '../../src/application/verification/sampler.ts'
import { eventually } from '../support/suite/eventually.ts'
import { type History, historyOn } from '../support/events/history.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'

/** Samples are picked by chance: on a busy machine it may take long until one is about a given token. In milliseconds. */
const SAMPLED_MS = 90_000

const versionOf = (name: string): string =>
  `${name}_v${projections.find((one) => one.collections.some((of) => of.name === name))?.version}`

interface Harness {
  model: ReadModel
  /** Removes a document by other means than the product's. Afterwards no document is in memory. */
  remove(collection: string, id: string): Promise<void>
  dispose(): Promise<void>
}

function samplerOn(name: string, makeHarness: (folder: string) => Promise<Harness>): void {
  describe(`The sampler on ${name}`, () => {
    let folder: string
    let harness: Harness
    let store: EventStore
    let projector: Projector
    let sampler: Sampler | null
    let history: History
    let logged: { collection: string; id: string; mended?: boolean }[]
    let checked: number

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'tokenledger-sampler-'))
      store = await openSqliteEventStore(join(folder, 'events.db'))
      harness = await makeHarness(folder)
      const parts = { store, readModel: harness.model, projections, telemetry: countingTelemetry() }
      projector = createProjector({ ...parts, id: 'p', onChanged() {} })
      history = await historyOn(store)
      await history.grow(80)
      await projector.start()
      ;[logged, checked, sampler] = [[], 0, null]
    })

    afterEach(async () => {
      await sampler?.stop()
      await projector.stop()
      await Promise.all([store.close(), harness.dispose()])
      rmSync(folder, { recursive: true })
    })

    function sample(): void {
      sampler = startSampler({
        store,
        readModel: harness.model,
        projections,
        telemetry: {
          log: {
            error: (fields) => void logged.push(fields as never),
            warn: (fields) => void logged.push(fields as never),
          },
          checked: (documents) => void (checked += documents),
          differed() {},
        },
        apply: projector.apply,
        everyMs: 2,
        againMs: 10,
        random: Math.random,
      })
    }

    async function noticed(collection: string, id: string): Promise<void> {
      await eventually(
        () => expect(logged.map((one) => `${one.collection}/${one.id}`)).to.include(`${collection}/${id}`),
        SAMPLED_MS,
      )
    }

    /** The read model is not open during this, since a service closes a SQLite file that another program writes to. */
    async function without(collection: string, id: string): Promise<void> {
      await projector.stop()
      await harness.remove(collection, id)
      const parts = { store, readModel: harness.model, projections, telemetry: countingTelemetry() }
      projector = createProjector({ ...parts, id: 'q', onChanged() {} })
      await projector.start()
    }

    const anyOf = async (collection: string): Promise<string> =>
      String((await harness.model.find(collection, { where: [], limit: 8 })).at(-1)?.id)

    const put = (collection: string, id: string, fields: Record<string, Value>): DocumentChange => ({
      kind: 'put',
      collection,
      id,
      revision: 1_000,
      fields,
    })

    it('tells of nothing where all is as the events say, while they go on', async () => {
      sample()
      for (let n = 0; n < 40; n++) {
        const { events } = await history.command()
        await projector.apply(events)
        await history.use()
      }
      await eventually(() => expect(checked).to.be.above(500))
      expect(logged).to.deep.equal([])
    })

    for (const collection of ['tokens', 'tokenHistory', 'tokenUsage', 'tokenActivity']) {
      it(`notices a document of ${collection} that is missing`, async () => {
        const id = collection === 'tokens' ? String(history.tokens.at(-1)) : await anyOf(collection)
        await without(collection, id)
        sample()
        await noticed(collection, id)
      })
    }

    for (const collection of ['tokens', 'tokenUsage', 'tokenActivity']) {
      it(`notices a document of ${collection} that was altered`, async () => {
        const id = await anyOf(collection)
        const altered: Record<string, Value> =
          collection === 'tokens' ? { name: 'Mallory' } : { requests: 1_000_000 }
        await harness.model.apply([put(collection, id, altered)])
        sample()
        await noticed(collection, id)
      })
    }

    it('brings a token back that is missing, by its events', async () => {
      const id = String(history.tokens.at(-1))
      const before = await harness.model.get('tokens', id)
      await without('tokens', id)
      sample()
      await eventually(
        () => expect(logged).to.deep.include({ collection: 'tokens', id, mended: true }),
        SAMPLED_MS,
      )
      const { lastAccessed: _, ...token } = before as Document
      expect(await harness.model.get('tokens', id)).to.deep.equal(token)
    })

    it('notices a token and a row of history that no event has made', async () => {
      const [real = ''] = history.tokens
      const id = `0${real.slice(1)}`
      const hash = { accountId: 'acct_9', name: 'Mallory', hash: 'f'.repeat(64) }
      await harness.model.apply([
        put('tokens', id, hash),
        put('tokenHistory', 'forged', { tokenId: real, type: 'TokenUpdated', revision: 77 }),
      ])
      sample()
      await noticed('tokens', id)
      await noticed('tokenHistory', 'forged')
    })

    it('notices a bucket of uses that no event has made', async () => {
      const buckets = await harness.model.find('tokenUsage', { where: [], limit: 100 })
      const bucket = buckets.find(({ granularity }) => granularity === 'hour')
      const at = String(bucket?.at).replace(/T\d\d/, String(bucket?.at).includes('T03') ? 'T04' : 'T03')
      const id = `${String(bucket?.tokenId)}_hour_${at}`
      const fields = { tokenId: String(bucket?.tokenId), granularity: 'hour', at, requests: 5 }
      await harness.model.apply([put('tokenUsage', id, fields)])
      sample()
      await noticed('tokenUsage', id)
    })
  })
}

samplerOn('SQLite', async (folder) => {
  const file = join(folder, 'read-model.db')
  const harness: Harness = {
    model: await openSqliteReadModel(file),
    async remove(collection, id) {
      await harness.model.close()
      const database = await openDatabase(file, { synchronous: 'NORMAL' })
      database.prepare(`DELETE FROM ${versionOf(collection)} WHERE id = ?`).run(id)
      database.close()
      unseal(file)
      harness.model = await openSqliteReadModel(file)
    },
    dispose: () => harness.model.close(),
  }
  return harness
})

describeWithMongod('With a mongod', () => {
  let server: Mongod
  let count = 0
  before(async () => {
    server = await startMongod({ set: 'rs0' })
  })
  after(() => server.stop())

  samplerOn('MongoDB', async () => {
    const url = server.url(`sampler-${++count}`)
    const model = await openPatiently(url)
    const client = new MongoClient(url)
    return {
      model,
      async remove(collection, id) {
        await client
          .db()
          .collection(versionOf(collection))
          .deleteOne({ _id: id as never })
      },
      dispose: async () => void (await Promise.all([model.close(), client.close()])),
    }
  })
})
