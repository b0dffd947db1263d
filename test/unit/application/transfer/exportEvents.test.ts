import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../../../src/adapters/sqlite/eventStore.ts'
import { exportEvents } from '../../../../src/application/transfer/exportEvents.ts'
import { importEvents } from '../../../../src/application/transfer/importEvents.ts'
import type { EventStore } from '../../../../src/application/ports/eventStore.ts'
import { checkFile } from '../../../../src/application/transfer/check.ts'
import { DamagedError } from '../../../../src/domain/errors.ts'
import type { StoredEvent } from '../../../../src/domain/events.ts'
import { isSignal, tokenStream } from '../../../../src/domain/streams.ts'
import { rejection } from '../../../contract/fixtures.ts'
import { addSignals, type MemoryStore, memoryStore } from '../../../support/stores/memoryStore.ts'
import { createWriter, fill, movableEvent, USAGE } from '../../../support/events/movable.ts'
import { endServices, ownFolder } from '../../../support/processes/service.ts'
import { chunked, fileOf } from '../../../support/events/transfer.ts'

describe('An export', () => {
  let memory: MemoryStore

  beforeEach(async () => {
    memory = memoryStore()
    memory.addForeign()
    await fill(memory.store, 3)
    memory.addForeign({ data: {}, metadata: {} })
    await addSignals(memory)
  })

  afterEach(endServices)

  it('has a line for each event of the product, in log order, and their number and SHA-256', async () => {
    const file = await fileOf(memory.store)
    const lines = file.trimEnd().split('\n')
    const last = JSON.parse(lines.pop() ?? '')
    const own = memory.log.filter((event) => event.stream !== 'orders-1' && !isSignal(event))
    expect(lines.map((line) => ({ ...JSON.parse(line), position: null }))).to.deep.equal(
      own.map((event) => ({ ...event, position: null })),
    )
    expect(JSON.parse(lines[0] ?? '')).to.have.all.keys(
      'stream',
      'revision',
      'id',
      'type',
      'data',
      'metadata',
    )
    const sha256 = createHash('sha256')
      .update(`${lines.join('\n')}\n`)
      .digest('hex')
    expect(last).to.deep.equal({ events: 24, sha256 })
  })

  it('of an empty store is a file, too', async () => {
    const file = await fileOf(memoryStore().store)
    expect(await checkFile(chunked(file))).to.include({ events: 0 })
  })

  it('is the same to the byte on every way between stores of different kinds', async () => {
    const folder = await ownFolder()
    const original = await fileOf(memory.store)
    const sqlite = await openSqliteEventStore(join(folder, 'events.db'))
    await importEvents(sqlite, chunked(original))
    expect(await fileOf(sqlite)).to.equal(original)
    const other = memoryStore()
    other.addForeign()
    await importEvents(other.store, chunked(await fileOf(sqlite)))
    expect(await fileOf(other.store)).to.equal(original)
    await sqlite.close()
  })

  it('ends with the newest event there was when it began', async () => {
    const before = await fileOf(memory.store)
    const readAll: EventStore['readAll'] = async function* (after) {
      for await (const batch of memory.store.readAll(after)) {
        yield batch
        if (memory.log.length < 100) {
          await createWriter(memory.store)(tokenStream(randomUUID()), [movableEvent('TokenCreated')])
        }
      }
    }
    expect(await fileOf({ ...memory.store, readAll })).to.equal(before)
  })

  it('waits for its reader', async () => {
    const folder = await ownFolder()
    const sqlite = await openSqliteEventStore(join(folder, 'events.db'))
    await fill(sqlite, 200)
    let [writing, most, writes] = [0, 0, 0]
    await exportEvents(sqlite, async () => {
      most = Math.max(most, ++writing)
      writes++
      await new Promise((resolve) => setTimeout(resolve, 2))
      writing--
    })
    expect(writes).to.be.greaterThan(3)
    expect(most).to.equal(1)
    await sqlite.close()
  })

  /** Exports a log that was tampered with. @returns the message of the error; no last line may have been written */
  async function refusal(tamper: (log: StoredEvent[]) => void): Promise<string> {
    tamper(memory.log)
    let written = ''
    const error = await rejection(exportEvents(memory.store, async (text) => void (written += text)))
    expect(error).to.be.instanceOf(DamagedError)
    expect(await rejection(checkFile(chunked(written)))).to.be.an('error')
    return (error as Error).message
  }

  const indexOf = (log: StoredEvent[], stream: string, revision: number): number =>
    log.findIndex((event) => event.stream === stream && event.revision === revision)

  it('names an event that was altered', async () => {
    const message = await refusal((log) => {
      Object.assign(log[indexOf(log, USAGE, 7)] as StoredEvent, { data: { count: 1 } })
    })
    expect(message).to.contain(`revision 7 of ${USAGE}`)
  })

  it('names the event behind one that is missing', async () => {
    const message = await refusal((log) => log.splice(indexOf(log, USAGE, 7), 1))
    expect(message).to.contain(`revision 8 of ${USAGE}`)
  })

  it('names an event that cannot be read, by its position where it has lost its name', async () => {
    let position = ''
    const message = await refusal((log) => {
      const event = log[indexOf(log, USAGE, 7)] as StoredEvent
      position = event.position
      Object.assign(event, { data: null, metadata: null })
    })
    expect(message).to.contain(`revision 7 of ${USAGE}`).and.contain(position)
    // This is what an index does that still has its right name.
    const readStream: EventStore['readStream'] = async () => []
    memory.store = { ...memory.store, readStream }
    const nameless = await refusal((log) => {
      Object.assign(log[indexOf(log, USAGE, 7)] as StoredEvent, { stream: 'uokenUsage-1' })
    })
    expect(nameless).to.match(/position \d+.* is damaged/)
  })

  it('is refused for what an import would refuse', async () => {
    const wrong: Partial<StoredEvent>[] = [
      { id: 'no-uuid' },
      { id: 'ABCDEF00-0000-4000-8000-000000000000' },
      { type: '' },
      { data: [] },
      { metadata: { chain: 1 } },
    ]
    for (const members of wrong) {
      const event = memory.log[indexOf(memory.log, USAGE, 7)] as StoredEvent
      const original = { ...event }
      expect(await refusal(() => Object.assign(event, members))).to.contain(`revision 7 of ${USAGE}`)
      Object.assign(event, original)
    }
    const write = createWriter(memory.store)
    await write(tokenStream('long'), [movableEvent('TokenCreated', { name: 'x'.repeat(1024 * 1024) })])
    expect(await refusal(() => {})).to.contain('too long')
  })

  it('tells of streams that retention has shortened, and such a file is not imported', async () => {
    const { log } = memory
    for (let revision = 0; revision < 7; revision++) log.splice(indexOf(log, USAGE, revision), 1)
    let file = ''
    const { shortened, events } = await exportEvents(memory.store, async (text) => void (file += text))
    expect([shortened, events]).to.deep.equal([[USAGE], 17])
    expect(await rejection(checkFile(chunked(file))))
      .to.have.property('message')
      .that.contains(USAGE)
      .and.contains('retention')
  })

  it('does not take a token whose creation is missing for one of those', async () => {
    const { stream } = memory.log.find(({ type }) => type === 'TokenCreated') as StoredEvent
    expect(await refusal((log) => log.splice(indexOf(log, stream, 0), 1))).to.contain(stream)
  })
})
