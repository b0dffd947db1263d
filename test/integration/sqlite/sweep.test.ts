import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openDatabase } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { checkIndexes } from '../../../src/adapters/sqlite/log/indexes.ts'
import { ConflictError, StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import { DamagedError } from '../../../src/domain/errors.ts'
import type { StoredEvent } from '../../../src/domain/events.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'

describe('A sweep of a SQLite event store', () => {
  let folder: string
  let path: string
  let store: EventStore

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-sweep-'))
    path = join(folder, 'events.db')
    store = await openSqliteEventStore(path)
    // Positions 1 to 40: four of `old`, one of `kept`, and so on.
    for (let round = 0; round < 8; round++) {
      await store.append('old', round === 0 ? 'no_stream' : round * 4 - 1, events(4))
      await store.append('kept', round === 0 ? 'no_stream' : round - 1, events(1))
    }
  })

  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const events = (count: number) => Array.from({ length: count }, () => makeEvent())

  async function sweepAll(stream: string, upTo: number): Promise<number> {
    let turns = 1
    while (await store.sweep?.(stream, upTo)) turns++
    return turns
  }

  async function logOf(of: EventStore): Promise<StoredEvent[]> {
    const all: StoredEvent[] = []
    for await (const batch of of.readAll(null)) all.push(...batch)
    return all
  }

  const placesOf = (log: readonly StoredEvent[]): string[] =>
    log.map(({ stream, revision, position }) => `${stream} ${revision} ${Number(position)}`)

  /** Changes the file without the store. */
  async function tamper(sql: string): Promise<void> {
    await store.close()
    const database = await openDatabase(path, { synchronous: 'FULL' })
    database.exec(sql)
    database.close()
    store = await openSqliteEventStore(path)
  }

  it('takes the first events of one stream out, and nothing else', async () => {
    const before = await logOf(store)
    await sweepAll('old', 9)
    const left = before.filter(({ stream, revision }) => stream === 'kept' || revision > 9)
    expect(await logOf(store)).to.deep.equal(left)
    expect(await store.readStream('old')).to.deep.equal(left.filter(({ stream }) => stream === 'old'))
    expect((await store.readStream('old', 3, 2)).map(({ revision }) => revision)).to.deep.equal([10, 11])
    expect((await store.readStream('old', 12, 2)).map(({ revision }) => revision)).to.deep.equal([12, 13])
    expect(await store.head()).to.equal(before.at(-1)?.position)
  })

  it('is no damage where it took a whole stream, unless its record is damaged or an event was lost', async () => {
    await sweepAll('old', 9)
    expect(await checkIndexes(path)).to.deep.equal([])
    await sweepAll('old', 31)
    expect(await checkIndexes(path)).to.deep.equal([])
    const lost = { stream: 'old', what: 'its newest event is at revision none, and 31 was written' }
    await tamper('UPDATE swept_streams SET crc = crc + 1')
    expect(await checkIndexes(path)).to.deep.equal([lost])
    await tamper('UPDATE swept_streams SET crc = crc - 1, revision = 30')
    expect(await checkIndexes(path)).to.deep.equal([lost])
    await tamper('DELETE FROM swept_streams')
    expect(await checkIndexes(path)).to.deep.equal([lost])
  })

  it('takes a whole stream out, whose revisions go on', async () => {
    await sweepAll('old', 31)
    expect(await store.readStream('old')).to.deep.equal([])
    expect(await store.readStream('old', 31)).to.deep.equal([])
    const conflict = await rejection(store.append('old', 'no_stream', events(1)))
    expect(conflict).to.be.instanceOf(ConflictError).with.property('actual', 31)
    await store.append('old', 31, events(1))
    expect(placesOf(await store.readStream('old'))).to.deep.equal(['old 32 41'])
    await store.append('kept', 7, events(1))
    await sweepAll('old', 32)
    expect(placesOf(await logOf(store)).at(-2)).to.equal('kept 7 40')
  })

  it('goes in steps and holds after a restart', async () => {
    await store.append('old', 31, events(100))
    await store.append('old', 131, events(100))
    await store.append('old', 231, events(100))
    await store.append('kept', 7, events(1))
    expect(await store.sweep?.('old', 331)).to.equal(true)
    expect(await store.readStream('old')).to.have.length(132)
    const log = await logOf(store)
    await store.close()
    store = await openSqliteEventStore(path)
    expect(await logOf(store)).to.deep.equal(log)
    expect(await sweepAll('old', 331)).to.equal(1)
    expect(placesOf(await logOf(store)).every((place) => place.startsWith('kept'))).to.equal(true)
    expect(await store.sweep?.('old', 331)).to.equal(false)
  })

  it('leaves no hole in what is read of a stream meanwhile, some events at a time', async () => {
    for (let last = 31; last < 431; last += 100) await store.append('old', last, events(100))
    // Runs after the first page was removed, and before the second.
    const swept = store.sweep?.('old', 431)
    const reading = store.readStream('old', 0)
    const within = store.readStream('old', 5, 300)
    const [all, some] = [await reading, await within]
    expect(await swept).to.equal(true)
    for (const [found, count] of [
      [all, 432 - 200],
      [some, 432 - 200],
    ] as const) {
      const first = found[0]?.revision ?? -1
      expect(found.map(({ revision }) => revision)).to.deep.equal(found.map((_, i) => first + i))
      expect([first, found.length]).to.deep.equal([200, count])
    }
  })

  it('leaves the newest event of the log, which says where it ends', async () => {
    const { position } = await store.append('old', 31, events(1))
    await sweepAll('old', 32)
    expect(placesOf(await logOf(store)).at(-1)).to.equal(`old 32 ${Number(position)}`)
  })

  it('is known to whoever reads beside it, from before it as well', async () => {
    const reader = await openSqliteEventStore(path, { readOnly: true })
    expect(await logOf(reader)).to.have.length(40)
    await sweepAll('old', 20)
    expect(await logOf(reader)).to.deep.equal(await logOf(store))
    expect(await reader.readStream('old')).to.have.length(11)
    const refused = await rejection(Promise.resolve(reader.sweep?.('old', 21)))
    expect(refused).to.be.instanceOf(StoreUnavailableError)
    await reader.close()
  })

  it('does not hold up who subscribes across it', async () => {
    await sweepAll('old', 25)
    const stop = new AbortController()
    const seen: StoredEvent[] = []
    for await (const batch of store.subscribe(null, ['old', 'kept'], stop.signal)) {
      seen.push(...batch.events)
      if (batch.caughtUp) stop.abort()
    }
    expect(seen).to.deep.equal(await logOf(store))
  })

  it('gives its space to later events', async () => {
    for (let from = 31; from < 2031; from += 100) await store.append('old', from, events(100))
    await store.append('kept', 7, events(1))
    const pages = async (): Promise<number> => {
      const database = await openDatabase(path, { readOnly: true, synchronous: 'FULL' })
      const count = Number(database.prepare('PRAGMA page_count').get()?.page_count)
      database.close()
      return count
    }
    const before = await pages()
    await sweepAll('old', 2031)
    for (let from = 8; from < 1808; from += 100) await store.append('kept', from, events(100))
    expect(await pages()).to.be.at.most(before + 5)
  })

  it('leaves a file that VACUUM makes smaller', async () => {
    for (let from = 31; from < 2031; from += 100) await store.append('old', from, events(100))
    await store.append('kept', 7, events(1))
    await sweepAll('old', 2031)
    const log = await logOf(store)
    // The size of the file counts once the log beside it is empty.
    const sizeAfter = async (sql: string): Promise<number> => {
      await tamper(sql)
      await store.close()
      const { size } = statSync(path)
      store = await openSqliteEventStore(path)
      return size
    }
    const before = await sizeAfter('SELECT 1')
    expect(await sizeAfter('VACUUM')).to.be.below(before / 4)
    expect(await logOf(store)).to.deep.equal(log)
    await store.append('old', 2031, events(1))
  })

  describe('hides no damage:', () => {
    const damage = async (read: () => Promise<unknown>): Promise<string> => {
      const error = await rejection(read())
      expect(error).to.be.instanceOf(DamagedError)
      return (error as Error).message
    }

    it('an event lost beside what was swept', async () => {
      await sweepAll('old', 9)
      await tamper("DELETE FROM events WHERE stream = 'old' AND revision = 10")
      expect(await damage(() => logOf(store))).to.contain('no event at position 13')
      expect(await damage(() => store.readStream('old'))).to.contain('revision 10')
    })

    it('an event lost between two that were swept', async () => {
      await sweepAll('old', 9)
      await tamper("DELETE FROM events WHERE stream = 'kept' AND revision = 1")
      expect(await damage(() => logOf(store))).to.contain('no event at position 10')
    })

    it('an event lost from a stream that was never swept', async () => {
      await sweepAll('old', 31)
      await tamper("DELETE FROM events WHERE stream = 'kept' AND revision = 0")
      expect(await damage(() => store.readStream('kept'))).to.contain('revision 0')
    })

    it('a record that was altered, or lost', async () => {
      await sweepAll('old', 9)
      await tamper('UPDATE swept_positions SET last = last + 1 WHERE first = 11')
      expect(await damage(() => logOf(store))).to.contain('record of swept events')
      await tamper('DELETE FROM swept_positions WHERE first = 11')
      expect(await damage(() => logOf(store))).to.contain('no event at position 11')
      await tamper("UPDATE swept_streams SET revision = 10 WHERE stream = 'old'")
      expect(await damage(() => store.readStream('old'))).to.contain('record of its swept events')
      await tamper('DELETE FROM swept_streams')
      expect(await damage(() => store.readStream('old'))).to.contain('revision 0')
    })

    it('an event that is not what was written stays, and those behind it', async () => {
      await tamper("UPDATE events SET data = '{}' WHERE stream = 'old' AND revision = 5")
      expect(await damage(() => sweepAll('old', 9))).to.contain('revision 5')
      expect(await logOf(store)).to.have.length(40)
    })
  })
})
