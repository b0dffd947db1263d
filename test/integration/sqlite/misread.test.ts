import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { genesis, link } from '../../../src/domain/chain.ts'
import type { NewEvent } from '../../../src/domain/events.ts'

const EVENTS = 1_500
/** Types in the header of a row of SQLite: an integer of four bytes, and a blob of four bytes. */
const [INTEGER, BYTES] = [4, 20]

describe('an event whose checksum is read as bytes, by one flipped bit', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-misread-'))
  after(() => rmSync(folder, { recursive: true }))

  it('is given to whoever follows the log, as every other one', async () => {
    const file = join(folder, 'events.db')
    const store = await openSqliteEventStore(file)
    const streams = Array.from({ length: EVENTS }, (_, n) => `apiToken-${String(n).padStart(5, '0')}`)
    for (const [n, stream] of streams.entries()) {
      const event = { id: `id-${n}`, type: 'TokenRevoked', data: {}, metadata: { schemaVersion: 1 } }
      await store.append(stream, 'no_stream', link(genesis(stream), [event as unknown as NewEvent]))
    }
    await store.close()

    const image = readFileSync(file)
    let flipped = 0
    for (const [n, stream] of streams.entries()) {
      // The row's header stands before the first text of the row, and ends with the type of the checksum.
      const at = image.indexOf(`${stream}id-${n}`)
      if (image[at - 1] !== INTEGER) continue
      image[at - 1] = BYTES
      flipped++
    }
    expect(flipped).to.be.above(300)
    writeFileSync(file, image)

    const damaged = await openSqliteEventStore(file, { readOnly: true })
    const seen: string[] = []
    for await (const { events, caughtUp } of damaged.subscribe(
      null,
      ['apiToken-'],
      new AbortController().signal,
    )) {
      seen.push(...events.map(({ stream }) => stream))
      if (caughtUp) break
    }
    await damaged.close()
    expect(seen).to.deep.equal(streams)
  })
})
