import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { projections } from '../../projections/index.ts'
import { tokens } from '../../projections/tokens.ts'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import { eventStoreOn, openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { lockFile } from '../../src/adapters/sqlite/database/lock.ts'
import { StoreInUseError } from '../../src/application/ports/errors.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import { StoreUnavailableError } from '../../src/application/ports/errors.ts'
import { eventStoreContract } from './eventStore.contract.ts'
import { startChild } from './fixtures.child.ts'
import { makeEvent, rejection } from './fixtures.ts'
import { piece } from './readModel.fixtures.ts'
import { readModelContract } from './readModel.contract.ts'

let directory: string
let path: string

const makeDirectory = (): void => {
  directory = mkdtempSync(join(tmpdir(), 'tokenledger-sqlite-'))
  path = join(directory, 'made', 'on the way', 'test.db')
}
const removeDirectory = (): void => rmSync(directory, { recursive: true, force: true })

eventStoreContract('SQLite', async () => {
  makeDirectory()
  const store = await openSqliteEventStore(path)
  return { store, dispose: () => store.close().then(removeDirectory) }
})

readModelContract('SQLite', async () => {
  makeDirectory()
  let model = await openSqliteReadModel(path)
  return {
    model,
    async reopen() {
      await model.close()
      model = await openSqliteReadModel(path)
      return model
    },
    dispose: () => model.close().then(removeDirectory),
  }
})

describe('SQLite', () => {
  beforeEach(makeDirectory)
  afterEach(removeDirectory)

  const pragma = async (name: string, synchronous: 'FULL' | 'NORMAL'): Promise<unknown> => {
    const database = await openDatabase(path, { synchronous })
    try {
      return database.prepare(`PRAGMA ${name}`).get()?.[name]
    } finally {
      database.close()
    }
  }

  describe('settings', () => {
    it('are what was asked for, also when a WAL database is opened again', async () => {
      for (let i = 0; i < 2; i++) {
        expect(await pragma('journal_mode', 'FULL')).to.equal('wal')
        expect(await pragma('synchronous', 'FULL')).to.equal(2)
        expect(await pragma('synchronous', 'NORMAL')).to.equal(1)
        expect(await pragma('trusted_schema', 'FULL')).to.equal(0)
        expect(await pragma('cell_size_check', 'FULL')).to.equal(1)
      }
    })

    it('find a hash by its index', async () => {
      const table = `tokens_v${tokens.version}`
      const model = await openSqliteReadModel(path)
      await model.open(projections)
      await model.close()
      const database = await openDatabase(path, { synchronous: 'NORMAL' })
      const plan = database.prepare(
        `EXPLAIN QUERY PLAN SELECT doc FROM ${table} WHERE (f_hash = ?) AND 1 ORDER BY id ASC`,
      )
      const steps = plan.all('x').map(({ detail }) => String(detail))
      database.close()
      expect(steps[0]).to.include(`SEARCH ${table} USING INDEX ${table}_f_hash`)
    })
  })

  describe('files', () => {
    it('are for their owner alone, with what SQLite makes beside them', async () => {
      const store = await openSqliteEventStore(path)
      await store.append('a-1', 'no_stream', [makeEvent()])
      const folder = dirname(path)
      for (const name of readdirSync(folder))
        expect(statSync(join(folder, name)).mode & 0o77, name).to.equal(0)
      expect(statSync(folder).mode & 0o77).to.equal(0)
      await store.close()
    })
  })

  describe('one writer', () => {
    it('refuses a second one in the same process at once, and names the file', async () => {
      const store = await openSqliteEventStore(path)
      const error = await rejection(openSqliteEventStore(path))
      expect(error).to.be.instanceOf(StoreInUseError)
      expect((error as Error).message)
        .to.contain(path)
        .and.contain('another process')
      await store.close()
      await (await openSqliteEventStore(path)).close()
    })

    it('refuses a second process', async () => {
      const store = await openSqliteEventStore(path)
      const child = await startChild(path)
      await child.kill()
      await store.close()
      expect(child.said)
        .to.match(/^StoreInUseError: /)
        .and.contain(path)
    })

    it('is free again when its process is killed, with everything that was acknowledged', async () => {
      const child = await startChild(path)
      expect(child.said).to.equal('open')
      expect(await rejection(openSqliteEventStore(path))).to.be.instanceOf(StoreInUseError)
      await child.kill()
      const store = await openSqliteEventStore(path)
      expect(await store.readStream('child-1')).to.have.length(1)
      await store.close()
    })

    it('guards the read model as well', async () => {
      const model = await openSqliteReadModel(path)
      expect(await rejection(openSqliteReadModel(path))).to.be.instanceOf(StoreInUseError)
      await model.close()
    })

    it('can be read beside by another process', async () => {
      const child = await startChild(path)
      const reader = await openSqliteEventStore(path, { readOnly: true })
      expect(await reader.readStream('child-1')).to.have.length(1)
      await reader.close()
      await child.kill()
    })

    it('leaves a log that can be read when it was killed', async () => {
      const child = await startChild(path)
      await child.kill()
      const reader = await openSqliteEventStore(path, { readOnly: true })
      expect(await reader.readStream('child-1')).to.have.length(1)
      await reader.close()
    })
  })

  describe('read only', () => {
    it('sees what a live writer commits, by reading and by subscription', async () => {
      const writer = await openSqliteEventStore(path)
      const reader = await openSqliteEventStore(path, { readOnly: true })
      const stop = new AbortController()
      const batches = reader.subscribe(null, ['a-'], stop.signal)[Symbol.asyncIterator]()
      expect((await batches.next()).value).to.deep.equal({ events: [], caughtUp: true })
      const { position } = await writer.append('a-1', 'no_stream', [makeEvent()])
      expect(await reader.head()).to.equal(position)
      expect((await batches.next()).value?.events).to.have.length(1)
      stop.abort()
      await reader.close()
      await writer.close()
    })

    it('reads a log that nobody has open, and leaves it as it is', async () => {
      const writer = await openSqliteEventStore(path)
      await writer.append('a-1', 'no_stream', [makeEvent()])
      await writer.close()
      const reader = await openSqliteEventStore(path, { readOnly: true })
      expect(await reader.readStream('a-1')).to.have.length(1)
      const error = await rejection(reader.append('a-1', 0, [makeEvent()]))
      expect(error).to.be.instanceOf(StoreUnavailableError)
      await reader.close()
    })

    it('reads a read model beside its writer', async () => {
      const writer = await openSqliteReadModel(path)
      await writer.open(projections)
      const reader = await openSqliteReadModel(path, { readOnly: true })
      await reader.open(projections)
      await writer.apply([{ kind: 'insert', collection: 'tokenHistory', id: 'x', fields: { n: 1 } }])
      expect(await reader.get('tokenHistory', 'x')).to.deep.equal({ id: 'x', n: 1 })
      expect(await rejection(reader.apply([]))).to.be.instanceOf(StoreUnavailableError)
      await reader.close()
      await writer.close()
    })

    it('is unavailable where there is no file', async () => {
      expect(await rejection(openSqliteEventStore(path, { readOnly: true }))).to.be.instanceOf(
        StoreUnavailableError,
      )
      expect(await rejection(openSqliteReadModel(path, { readOnly: true }))).to.be.instanceOf(
        StoreUnavailableError,
      )
    })
  })

  describe('group commit', () => {
    it('answers all appends of one turn together, and a refused one by itself', async () => {
      const store = await openSqliteEventStore(path)
      const order: string[] = []
      const appends = ['a', 'b', 'c'].map((name) =>
        store.append(name, 'no_stream', [makeEvent()]).then(() => order.push(name)),
      )
      const refused = rejection(store.append('d', 3, [makeEvent()])).then(() => order.push('refused'))
      setImmediate(() => order.push('next turn'))
      await Promise.all([...appends, refused])
      await new Promise((resolve) => setImmediate(resolve))
      expect(order).to.deep.equal(['a', 'b', 'c', 'refused', 'next turn'])
      await store.close()
    })

    it('keeps nothing of an append that fails half-way, and harms no neighbour', async () => {
      const lock = await lockFile(path)
      const database = await openDatabase(path, { synchronous: 'FULL' })
      const store = eventStoreOn(database, lock)
      const poison = makeEvent()
      database.exec(`CREATE TRIGGER poison BEFORE INSERT ON events WHEN new.id = '${poison.id}'
        BEGIN SELECT raise(ABORT, 'poison'); END`)
      const before = store.append('before', 'no_stream', [makeEvent()])
      const failed = rejection(store.append('failed', 'no_stream', [makeEvent(), poison]))
      const behind = store.append('behind', 'no_stream', [makeEvent()])
      expect(await failed)
        .to.be.instanceOf(Error)
        .with.property('message')
        .that.contains('poison')
      expect([await before, await behind].map(({ position }) => Number(position))).to.deep.equal([1, 2])
      expect(await store.readStream('failed')).to.deep.equal([])
      expect((await store.append('failed', 'no_stream', [makeEvent()])).revision).to.equal(0)
      await store.close()
    })

    it('keeps nothing of an application to the read model that fails half-way', async () => {
      const model = await openSqliteReadModel(path)
      await model.open(projections)
      const token = (id: string, hash: string) =>
        ({ kind: 'put', collection: 'tokens', id, revision: 0, fields: { hash } }) as const
      await model.apply([token('a', 'taken')])
      await rejection(model.apply([token('b', 'free'), token('c', 'taken')], piece(projections, 0, 1)))
      expect(await model.get('tokens', 'b')).to.equal(null)
      for (const projection of projections) expect(await model.checkpoint(projection)).to.equal(null)
      await model.apply([token('c', 'free')])
      expect(await model.get('tokens', 'c')).to.deep.equal({ id: 'c', hash: 'free' })
      await model.close()
    })

    it('finishes what was taken before it closes, and takes nothing after', async () => {
      const store = await openSqliteEventStore(path)
      const taken = store.append('a', 'no_stream', [makeEvent()])
      const closing = store.close()
      expect(await rejection(store.append('b', 'no_stream', [makeEvent()]))).to.be.instanceOf(
        StoreUnavailableError,
      )
      expect((await taken).revision).to.equal(0)
      await closing
    })
  })

  describe('a full disk', () => {
    let store: EventStore
    let allowPages: (count: number) => void

    beforeEach(async () => {
      const lock = await lockFile(path)
      const database = await openDatabase(path, { synchronous: 'FULL' })
      allowPages = (count) => void database.prepare(`PRAGMA max_page_count = ${count}`).all()
      store = eventStoreOn(database, lock)
    })

    afterEach(() => store.close())

    it('refuses the whole group, keeps nothing of it, and goes on when there is room', async () => {
      const big = () => makeEvent({ text: 'x'.repeat(5_000) })
      await store.append('a', 'no_stream', [big()])
      allowPages(20)
      const group = Array.from({ length: 20 }, (_, i) =>
        rejection(store.append(`n${i}`, 'no_stream', [big()])),
      )
      for (const error of await Promise.all(group)) expect(error).to.be.instanceOf(StoreUnavailableError)
      for (let i = 0; i < 20; i++) expect(await store.readStream(`n${i}`)).to.deep.equal([])
      expect(await store.readStream('a')).to.have.length(1)
      expect(await store.head()).to.equal('0000000000000001')

      allowPages(1_000_000)
      const { position } = await store.append('n3', 'no_stream', [big()])
      expect(position).to.equal('0000000000000002')
      expect(await store.readStream('n3')).to.have.length(1)
    })
  })
})
