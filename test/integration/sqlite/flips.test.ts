import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import {
  bytes as bytesOf,
  checksum,
  type Database,
  openDatabase,
  type SqlRow,
  toBytes,
  toText,
} from '../../../src/adapters/sqlite/database/database.ts'
import { eventStoreOn, openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { checkIndexes } from '../../../src/adapters/sqlite/log/indexes.ts'
import { DamagedError } from '../../../src/domain/errors.ts'
import { tokenStream, usageStream } from '../../../src/domain/streams.ts'
import {
  created,
  renamed,
  revoked,
  time,
  USAGE,
  used,
  walkOf,
  writerTo,
} from '../../support/events/audited.ts'
import { sweep } from '../../support/suite/sweep.ts'

const flips = sweep('flips', 1000, 200)
const FLIPS = flips.amount
/** More bits than any stream needs for its revisions, and no more than every driver can read as a number. */
const REVISION_BITS = 48
const TEXTS = ['stream', 'id', 'type', 'data', 'metadata'] as const

/** A deterministic sequence of numbers from 0 to below `limit`. */
function numbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

/** The columns of rows as the file has them. */
const rowsAfter = (database: Database, position: number, limit: number): SqlRow[] =>
  database
    .prepare(
      `SELECT position, revision, crc, ${['stream', 'id', 'type', 'data', 'metadata'].map((name) => bytesOf(name)).join(', ')}
         FROM events WHERE position > ? ORDER BY position LIMIT ?`,
    )
    .all(position, limit)

describe('A log in SQLite with one flipped bit and checksums made to fit', () => {
  let directory: string
  let path: string
  let database: Database

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tokenledger-flips-'))
    path = join(directory, 'events.db')
    const store = await openSqliteEventStore(path)
    const write = writerTo(store)
    for (let i = 0; i < 8; i++) {
      const id = randomUUID()
      await write(tokenStream(id), [created(id)])
      await write(USAGE, [used(id)])
      if (i % 2 === 0) await write(tokenStream(id), [renamed('\ud83d \t " é 1e21'), renamed('b'), revoked()])
      if (i % 4 === 0) await write(usageStream(randomUUID(), time(0)), [used(id)])
    }
    await store.close()
    database = await openDatabase(path, { synchronous: 'NORMAL' })
  })

  after(() => {
    database.close()
    rmSync(directory, { recursive: true, force: true })
  })

  /**
   * Reads as `verify --chain` does. An error of opening or reading the store counts, too. @returns the first thing
   * found
   */
  async function found(in_ = database): Promise<string | null> {
    try {
      const walked = await walkOf(eventStoreOn(in_, undefined))
      if (walked.found[0]) return `walk: ${walked.found[0].what}`
      const [problem] = await checkIndexes(in_.path)
      return problem ? `index: ${problem.what}` : null
    } catch (error) {
      if (error instanceof DamagedError) return `store: ${error.message}`
      throw error
    }
  }

  const setText = (table: string, column: string, key: string, value: number | string, bytes: Buffer): void =>
    database
      .prepare(`UPDATE ${table} SET ${column} = CAST(unhex(?) AS TEXT) WHERE ${key} = ?`)
      .run(bytes.toString('hex'), value)

  /** Somebody who alters a row knows how to make its checksum. */
  function fitChecksum(position: number): void {
    const [row] = rowsAfter(database, position - 1, 1)
    const head = `${position}\n${toText(row?.streamBytes)}\n${String(row?.revision)}`
    const texts = [row?.idBytes, row?.typeBytes, row?.dataBytes, row?.metadataBytes].map(toBytes)
    database.prepare('UPDATE events SET crc = ? WHERE position = ?').run(checksum(head, ...texts), position)
  }

  it('is sound as it was written', async () => {
    expect(await found()).to.equal(null)
  })

  it(`is found ${FLIPS} times of ${FLIPS}, wherever in an event it is${flips.note}`, async () => {
    const next = numbers(1)
    const rows = rowsAfter(database, 0, 1000)
    const where: Record<string, number> = {}
    const missed: string[] = []
    for (let i = 0; i < FLIPS; i++) {
      const row = rows[next(rows.length)]
      const position = Number(row?.position)
      const bytes = TEXTS.map((column) => toBytes(row?.[`${column}Bytes`]))
      let bit = next(bytes.reduce((sum, { length }) => sum + length * 8, REVISION_BITS))
      const column = TEXTS.findIndex((_, n) => {
        const bits = (bytes[n]?.length ?? 0) * 8
        if (bit < bits) return true
        bit -= bits
        return false
      })
      const name = TEXTS[column] ?? 'revision'
      const before = Buffer.from(bytes[column] ?? [])
      const revision = Number(row?.revision)
      const setRevision = (to: number): void =>
        database.prepare('UPDATE events SET revision = ? WHERE position = ?').run(to, position)
      const set = (to: Buffer): void => setText('events', name, 'position', position, to)
      if (name === 'revision') {
        const flipped = Number(BigInt(revision) ^ (1n << BigInt(bit)))
        const stream = toText(row?.streamBytes)
        // Another event has this place, so such a row cannot be written at all.
        if (rows.some((each) => toText(each.streamBytes) === stream && each.revision === flipped)) {
          i--
          continue
        }
        setRevision(flipped)
      } else {
        const after = Buffer.from(before)
        after.writeUInt8(after.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
        set(after)
      }
      fitChecksum(position)
      const what = await found()
      const layer = what?.split(':', 1)[0] ?? 'nothing'
      where[layer] = (where[layer] ?? 0) + 1
      if (what === null) missed.push(`bit ${bit} of ${name} at position ${position}`)
      if (name === 'revision') setRevision(revision)
      else set(before)
      fitChecksum(position)
    }
    expect(missed).to.deep.equal([])
    expect(where['walk'], 'by the links alone').to.equal(FLIPS)
    expect(await found(), 'all was put back').to.equal(null)
  })

  it('is found in the table of streams', async () => {
    const streams = database
      .prepare('SELECT CAST(stream AS BLOB) AS streamBytes, revision FROM streams')
      .all()
    for (const [i, row] of streams.entries()) {
      const [stream, revision] = [toText(row.streamBytes), Number(row.revision)]
      const bytes = Buffer.from(stream)
      const at = (i * 7) % bytes.length
      bytes[at] = (bytes[at] as number) ^ (1 << (i % 7))
      const renamed_ = bytes.toString()
      const set = (name: string, to: number, key: string): void =>
        database
          .prepare('UPDATE streams SET stream = ?, revision = ?, crc = ? WHERE stream = ?')
          .run(name, to, checksum(name, String(to)), key)
      for (const [name, to] of [
        [renamed_, revision],
        [stream, revision ^ (1 << (i % 20))],
      ] as const) {
        set(name, to, stream)
        expect(await found(), `${name} ${to}`).to.match(/^index: its newest event is at revision/)
        set(stream, revision, name)
      }
    }
    expect(await found(), 'all was put back').to.equal(null)
  })

  it('is found where a stream is missing in that table', async () => {
    const [row] = database
      .prepare('SELECT CAST(stream AS BLOB) AS streamBytes, revision, crc FROM streams')
      .all()
    const stream = toText(row?.streamBytes)
    database.prepare('DELETE FROM streams WHERE stream = ?').run(stream)
    expect(await found()).to.match(/^index: its newest event is at revision \d, and none was written/)
    const again = 'INSERT INTO streams (stream, revision, crc) VALUES (?, ?, ?)'
    database.prepare(again).run(stream, Number(row?.revision), Number(row?.crc))
    expect(await found()).to.equal(null)
  })

  it('is found in another spelling of the same value', async () => {
    const [row] = rowsAfter(database, 0, 1000).filter((each) => toText(each.dataBytes).includes('\\ud83d'))
    const [position, before] = [Number(row?.position), toBytes(row?.dataBytes)]
    const flipped = Buffer.from(before.toString().replace('\\ud83d', '\\uD83d'))
    expect(JSON.parse(flipped.toString())).to.deep.equal(JSON.parse(before.toString()))
    setText('events', 'data', 'position', position, flipped)
    fitChecksum(position)
    expect(await found()).to.match(/^walk: cannot be read/)
    setText('events', 'data', 'position', position, before)
    fitChecksum(position)
  })

  it('is found in each copy of a name that the file holds: the event, the index, the table of streams', async () => {
    database.checkpoint()
    const whole = readFileSync(path)
    const names = rowsAfter(database, 0, 1000).map((row) => toText(row.streamBytes))
    const [name = ''] = names
    const events = names.filter((each) => each === name).length
    const layers: (string | undefined)[] = []
    for (let at = whole.indexOf(name); at >= 0; at = whole.indexOf(name, at + 1)) {
      const bytes = Buffer.from(whole)
      bytes.writeUInt8(bytes.readUInt8(at + 20) ^ 1, at + 20)
      const copy = join(directory, `copy-${at}.db`)
      writeFileSync(copy, bytes)
      const damaged = await openDatabase(copy, { synchronous: 'NORMAL' })
      layers.push((await found(damaged))?.split(':', 1)[0])
      damaged.close()
    }
    const count = (layer: string): number => layers.filter((each) => each === layer).length
    expect(count('walk'), 'each event').to.equal(events)
    // Other copies are remains in the file that nobody reads.
    expect(count('index'), 'each entry of the index, and the table of streams').to.equal(events + 1)
  })

  it('is found in the number of events that were written', async () => {
    const seq = Number(database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'").get()?.seq)
    const set = (to: number): void =>
      database.prepare("UPDATE sqlite_sequence SET seq = ? WHERE name = 'events'").run(to)
    for (let bit = 0; bit < 20; bit++) {
      set(seq ^ (1 << bit))
      expect(await found()).to.match(/^store: /)
    }
    set(seq)
    expect(await found()).to.equal(null)
  })

  it('is found in the position of an event', async () => {
    const last = rowsAfter(database, 0, 1000).length
    for (let position = 1; position <= last; position += 5) {
      const to = position + 64
      const move = (from: number, at: number): void => {
        database.prepare('UPDATE events SET position = ? WHERE position = ?').run(at, from)
        database.prepare('UPDATE sqlite_sequence SET seq = ?').run(Math.max(last, at))
        fitChecksum(at)
      }
      move(position, to)
      expect(await found(), String(position)).to.be.a('string')
      move(to, position)
    }
    expect(await found()).to.equal(null)
  })

  it('goes on behind events that are gone, and names each stream that lost one', async () => {
    const rows = rowsAfter(database, 0, 1000)
    const gone = rows.filter(({ revision }) => revision === 1).slice(0, 2)
    const names = gone.map((row) => toText(row.streamBytes))
    for (const { position } of gone) {
      database.prepare('DELETE FROM events WHERE position = ?').run(Number(position))
    }
    const walked = await walkOf(eventStoreOn(database, undefined))
    const missing = walked.found.filter(({ stream }) => stream !== null)
    expect(missing.map(({ stream }) => stream)).to.have.members(names)
    expect(walked.found.filter(({ what }) => what.includes('no event at position'))).to.have.lengthOf(2)
    expect(walked.events).to.equal(rows.length - 2)
  })
})
