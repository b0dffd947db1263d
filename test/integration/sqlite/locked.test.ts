import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { createWalWatch, LARGE_BYTES } from '../../../src/adapters/sqlite/database/walWatch.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { Logger } from '../../../src/application/ports/telemetry.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { endLockers, LOCKS, LONG_READ, lockWith } from '../../support/stores/locker.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'
import { people, put } from '../../contract/readModel.fixtures.ts'

interface Line {
  message: string
  fields: Record<string, unknown>
}

describe('A SQLite file that another program has locked', () => {
  let path: string
  let store: EventStore
  let lines: Line[]
  const line = (fields: object, message: string) => void lines.push({ message, fields: { ...fields } })
  const log: Logger = { debug() {}, info: line, warn: line, error: line }

  beforeEach(async () => {
    path = join(mkdtempSync(join(tmpdir(), 'tokenledger-locked-')), 'events.db')
    lines = []
    store = await openSqliteEventStore(path, { log })
    await store.append('before', 'no_stream', [makeEvent()])
  })
  afterEach(async () => {
    await endLockers()
    await store.close()
    rmSync(join(path, '..'), { recursive: true })
  })

  /** The longest time for which the event loop was held while `work` lasted, in milliseconds. */
  async function longestStall(work: Promise<unknown>): Promise<number> {
    let [longest, last, going] = [0, performance.now(), true]
    const tick = (): void => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
      if (going) setTimeout(tick, 1)
    }
    tick()
    await work.finally(() => (going = false))
    return longest
  }

  for (const [what, sql] of Object.entries(LOCKS)) {
    it(`keeps writes waiting in their order, and the event loop free: ${what}`, async () => {
      const locker = await lockWith(path, sql)
      const order: number[] = []
      const appends = Array.from({ length: 5 }, (_, n) =>
        store.append(`waits-${n}`, 'no_stream', [makeEvent()]).then(({ position }) => {
          order.push(n)
          return position
        }),
      )
      const stall = longestStall(
        sleep(900)
          .then(() => locker.release())
          .then(() => Promise.all(appends)),
      )
      expect(await store.readStream('before')).to.have.length(1)
      expect(order).to.deep.equal([])
      expect(await stall).to.be.below(700)
      const positions = await Promise.all(appends)
      expect(order).to.deep.equal([0, 1, 2, 3, 4])
      expect(positions).to.deep.equal(positions.toSorted())
    })
  }

  it('is said once, with who may have it, and once that it is over', async () => {
    const locker = await lockWith(path, 'BEGIN IMMEDIATE')
    for (let n = 0; n < 3; n++) await rejection(store.append(`n-${n}`, 'no_stream', [makeEvent()]))
    expect(store.isWritable?.()).to.equal(false)
    expect(lines.map(({ message }) => message)).to.deep.equal(['the file cannot be written'])
    expect(lines[0]?.fields.file).to.equal(path)
    if (process.platform === 'linux') {
      expect(lines[0]?.fields.holders).to.deep.equal([{ pid: locker.pid, program: 'node' }])
    }
    await locker.release()
    // No write is needed for this.
    await eventually(() => expect(store.isWritable?.()).to.equal(true))
    expect(lines.map(({ message }) => message).slice(1)).to.deep.equal(['the file can be written again'])
  })

  it('refuses a write that has waited for long, of which nothing is there then', async () => {
    const locker = await lockWith(path, 'BEGIN IMMEDIATE')
    const started = performance.now()
    const refused = await rejection(store.append('refused', 'no_stream', [makeEvent()]))
    expect(refused).to.be.instanceOf(StoreUnavailableError)
    expect(performance.now() - started).to.be.within(1_500, 10_000)
    await locker.release()
    expect((await store.append('refused', 'no_stream', [makeEvent()])).revision).to.equal(0)
    expect(await store.readStream('refused')).to.have.length(1)
  })

  it('does not hold up a stop for longer than a write may wait', async () => {
    const locker = await lockWith(path, 'BEGIN IMMEDIATE')
    const waiting = rejection(store.append('waits', 'no_stream', [makeEvent()]))
    const started = performance.now()
    await store.close()
    expect(await waiting).to.be.instanceOf(StoreUnavailableError)
    expect(performance.now() - started).to.be.below(10_000)
    await locker.release()
    store = await openSqliteEventStore(path)
    expect(await store.readStream('waits')).to.deep.equal([])
    expect(await store.readStream('before')).to.have.length(1)
  })

  it('nor does somebody who reads, who keeps everything readable', async () => {
    const reader = await lockWith(path, LONG_READ)
    await store.append('beside', 'no_stream', [makeEvent()])
    const started = performance.now()
    await store.close()
    expect(performance.now() - started).to.be.below(1_000)
    store = await openSqliteEventStore(path)
    expect(await store.readStream('beside')).to.have.length(1)
    await store.append('again', 'no_stream', [makeEvent()])
    await reader.release()
  })

  it('is waited for by a start', async () => {
    await store.close()
    const locker = await lockWith(path, 'BEGIN IMMEDIATE')
    const opening = openSqliteEventStore(path)
    const stall = longestStall(
      sleep(900)
        .then(() => locker.release())
        .then(() => opening),
    )
    store = await opening
    expect(await stall).to.be.below(700)
    expect(await store.readStream('before')).to.have.length(1)
  })

  it('is a read model, too: what is known goes on, changes wait', async () => {
    const file = join(path, '..', 'model.db')
    const model: ReadModel = await openSqliteReadModel(file, { log })
    await model.open([people])
    await model.apply([put('a', 0, { email: 'a@a' })])
    const locker = await lockWith(file, 'BEGIN EXCLUSIVE')
    const change = model.apply([put('b', 0, { email: 'b@b' })])
    await sleep(300)
    expect(await model.get('people', 'a')).to.include({ email: 'a@a' })
    expect(await model.get('people', 'b')).to.equal(null)
    await locker.release()
    await change
    expect(await model.get('people', 'b')).to.include({ email: 'b@b' })
    await model.close()
    expect(readdirSync(join(file, '..'))).to.include('model.db.seal')
  })
})

describe('The write-ahead log of a SQLite file', () => {
  it('is spoken of once when it has become large, and once when it is small again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-wal-'))
    const file = join(folder, 'events.db')
    writeFileSync(`${file}-wal`, '')
    const messages: string[] = []
    const line = (_: object, message: string) => void messages.push(message)
    let now = 0
    const log = { debug() {}, info: line, warn: line, error: line }
    const watch = createWalWatch(file, log, () => (now += 60_000))
    const said: number[] = []
    for (const size of [0.1, 2, 3, 0.9, 0.1, 0.1]) {
      truncateSync(`${file}-wal`, Math.floor(LARGE_BYTES * size))
      watch.look()
      await sleep(50)
      said.push(messages.length)
    }
    rmSync(folder, { recursive: true })
    expect(said).to.deep.equal([0, 1, 1, 1, 2, 2])
  })
})
