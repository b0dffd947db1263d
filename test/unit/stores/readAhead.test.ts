import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import {
  createLogReader,
  type Inspected,
  type LogReader,
} from '../../../src/application/eventLog/logReader.ts'
import { withReadAhead } from '../../../src/stores/readAhead.ts'
import { rejection } from '../../contract/fixtures.ts'
import { historyOn } from '../../support/events/history.ts'

describe('reading the log on a thread of its own', () => {
  let folder: string
  const settings = (name: string) => ({
    eventStoreUrl: `sqlite:${join(folder, name)}`,
    usageRetentionDays: null,
    eventStoreTimeoutMs: 10_000,
  })
  const never = new AbortController().signal

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-ahead-'))
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    await (await historyOn(store)).grow(1_500)
    await store.close()
  })

  after(() => rmSync(folder, { recursive: true }))

  async function toTheEnd(read: LogReader, from: string | null = null): Promise<Omit<Inspected, 'caughtUp'>> {
    const all: { events: unknown[]; damages: unknown[] } = { events: [], damages: [] }
    for await (const { events, damages, caughtUp } of read(from, never)) {
      all.events.push(...events)
      all.damages.push(...damages)
      if (caughtUp) break
    }
    return all as Omit<Inspected, 'caughtUp'>
  }

  it('gives what reading it here gives, as often as it is asked', async () => {
    const store = await openSqliteEventStore(join(folder, 'events.db'), { readOnly: true })
    const expected = await toTheEnd(createLogReader(store))
    await store.close()
    expect(expected.events.length).to.be.above(1_000)
    const middle = expected.events[700]?.position ?? null
    await withReadAhead(settings('events.db'), async (read) => {
      expect(await toTheEnd(read)).to.deep.equal(expected)
      expect((await toTheEnd(read, middle)).events).to.deep.equal(expected.events.slice(701))
    })
  })

  it('ends where its reader stops, and when it is told to', async () => {
    await withReadAhead(settings('events.db'), async (read) => {
      for await (const { events } of read(null, never)) if (events.length > 0) break
      const stop = new AbortController()
      const stopped = rejection(
        (async () => {
          for await (const { caughtUp } of read(null, stop.signal)) if (caughtUp) stop.abort()
        })(),
      )
      expect(await stopped).to.have.property('name', 'AbortError')
    })
  })

  it('fails as opening the log here would, as often as it is asked', async () => {
    await withReadAhead(settings('none.db'), async (read) => {
      for (let time = 0; time < 2; time++) {
        const error = await rejection(toTheEnd(read))
        expect(error).to.be.instanceOf(StoreUnavailableError)
        expect(error).to.have.property('message').that.includes('none.db')
      }
    })
  })

  it('fails, and does not wait, where the thread has ended', async () => {
    let kept: LogReader | undefined
    await withReadAhead(settings('events.db'), async (read) => {
      kept = read
      await toTheEnd(read)
    })
    expect(await rejection(toTheEnd(kept as LogReader))).to.be.instanceOf(Error)
  })
})
