import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openDatabase } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { StoreReplacedError, StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'
import { people, piece, place, put } from '../../contract/readModel.fixtures.ts'

describe('SQLite files that somebody moves, deletes or writes while they are in use', () => {
  let folder: string
  let path: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-replaced-'))
    path = join(folder, 'store.db')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const remove = (): void => {
    for (const ending of ['', '-wal', '-shm']) rmSync(path + ending, { force: true })
  }

  const harms: Record<string, () => void> = {
    'another moved into its place': () => renameSync(`${path}.older`, path),
    'another copied over it': () => copyFileSync(`${path}.older`, path),
    deleted: remove,
    'deleted alone': () => rmSync(path),
    'its log deleted': () => rmSync(`${path}-wal`),
    emptied: () => truncateSync(path, 0),
  }

  describe('an event store', () => {
    let store: EventStore

    beforeEach(async () => {
      store = await openSqliteEventStore(path)
      await store.append('s-1', 'no_stream', [makeEvent()])
      await store.close()
      copyFileSync(path, `${path}.older`)
      store = await openSqliteEventStore(path)
      await store.append('s-1', 0, [makeEvent()])
    })
    afterEach(() => store.close())

    for (const [what, harm] of Object.entries(harms)) {
      it(`${what}: says so, and takes nothing more that would be lost`, async () => {
        harm()
        expect(await rejection(store.head())).to.be.instanceOf(StoreReplacedError)
        expect(await rejection(store.at(place(1)?.position ?? ''))).to.be.instanceOf(StoreReplacedError)
        expect(await rejection(store.append('s-1', 1, [makeEvent()]))).to.be.instanceOf(StoreReplacedError)
      })
    }

    it('leaves what was copied over it as it is when it is closed', async () => {
      for (const ending of ['-wal', '-shm']) rmSync(path + ending)
      copyFileSync(`${path}.older`, path)
      await store.close()
      expect(readFileSync(path).equals(readFileSync(`${path}.older`))).to.equal(true)
    })

    it('goes on when it is back', async () => {
      renameSync(path, `${path}.away`)
      expect(await rejection(store.head())).to.be.instanceOf(StoreReplacedError)
      renameSync(`${path}.away`, path)
      expect((await store.append('s-1', 1, [makeEvent()])).revision).to.equal(2)
    })

    it('is disturbed neither by its own checkpoints nor by readers', async () => {
      for (let n = 2; n < 60; n++) {
        const events = Array.from({ length: 100 }, () => makeEvent({ text: 'x'.repeat(500) }))
        await store.append(`s-${n}`, 'no_stream', events)
        if (n % 10 > 0) continue
        const reader = await openSqliteEventStore(path, { readOnly: true })
        expect(await reader.head()).to.equal(await store.head())
        await reader.close()
      }
    })
  })

  describe('a read model', () => {
    let model: ReadModel
    let announced: unknown[]

    const open = async (): Promise<ReadModel> => {
      const opened = await openSqliteReadModel(path)
      await opened.open([people])
      return opened
    }
    const lost = () => eventually(() => expect(model.loss()).to.not.equal(null))

    beforeEach(async () => {
      model = await open()
      await model.apply([put('a', 0, { name: 'Ada' })], piece([people], 0, 1))
      await model.close()
      copyFileSync(path, `${path}.older`)
      model = await open()
      await model.apply([put('a', 1, { name: 'revoked' })], piece([people], 1, 2))
      announced = []
      model.watch('people', ['name'], (ids) => announced.push(ids))
    })
    afterEach(() => model.close())

    for (const [what, harm] of Object.entries(harms)) {
      it(`${what}: is noticed within a second, and nothing is read any more`, async () => {
        const watch = model.watch('people', ['name'], () => {})
        harm()
        await sleep(600)
        expect(model.loss()).to.contain('Start the service anew')
        expect(announced).to.deep.equal([null])
        expect(watch.isLive()).to.equal(false)
        expect(await rejection(model.get('people', 'a'))).to.be.instanceOf(StoreUnavailableError)
        expect(await rejection(model.ping())).to.be.instanceOf(StoreUnavailableError)
        expect(await rejection(model.apply([put('b', 0, {})]))).to.be.instanceOf(StoreUnavailableError)
      })
    }

    it('that another program has written into is not read any more, and filled anew by the next start', async () => {
      const shell = await openDatabase(path, { synchronous: 'NORMAL' })
      shell.exec('DELETE FROM people_v1')
      shell.close()
      // From this moment on it does not exist.
      expect(await rejection(model.get('people', 'a'))).to.be.instanceOf(StoreUnavailableError)
      await lost()
      await model.close()
      model = await open()
      expect(await model.checkpoint(people)).to.equal(null)
      expect(await model.get('people', 'a')).to.equal(null)
    })

    it('that was deleted is filled anew by the next start', async () => {
      remove()
      await lost()
      await model.close()
      model = await open()
      expect(await model.checkpoint(people)).to.equal(null)
    })

    it('whose older copy was moved into its place goes on from there at the next start', async () => {
      for (const ending of ['-wal', '-shm']) rmSync(path + ending)
      renameSync(`${path}.older`, path)
      await lost()
      await model.close()
      model = await open()
      expect(await model.checkpoint(people)).to.deep.equal(place(1))
    })
  })
})
