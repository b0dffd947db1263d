import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { projections } from '../../../projections/index.ts'
import { tokens } from '../../../projections/tokens.ts'
import type { DocumentChange } from '../../../projections/projection.ts'
import { openDatabase } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import type { Condition, Query } from '../../../src/application/ports/documents.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { DamagedError } from '../../../src/domain/errors.ts'
import type { StoredEvent } from '../../../src/domain/events.ts'
import { makeEvent, rejection } from '../../contract/fixtures.ts'
import { piece } from '../../contract/readModel.fixtures.ts'

const FLIPS = 300
const STREAMS = Array.from({ length: 30 }, (_, i) => `apiToken-${i}`)
const IDS = Array.from({ length: 40 }, (_, i) => `token-${i}`)

/** A deterministic sequence of numbers from 0 to below `limit`. */
function numbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

describe('SQLite, damaged', () => {
  let directory: string
  let original: string
  let copy: string

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tokenledger-damage-'))
    original = join(directory, 'original.db')
    copy = join(directory, 'copy.db')
  })

  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  /**
   * Flips one bit of the file, at each of `FLIPS` places. If opening fails, that error counts as the error of every
   * read.
   */
  async function forEachFlip(seed: number, check: () => Promise<boolean>): Promise<{ noticed: number }> {
    const bytes = readFileSync(original)
    const next = numbers(seed)
    let noticed = 0
    for (let i = 0; i < FLIPS; i++) {
      const [at, bit] = [next(bytes.length), next(8)]
      const damaged = Buffer.from(bytes)
      damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << bit), at)
      for (const suffix of ['-wal', '-shm']) rmSync(copy + suffix, { force: true })
      writeFileSync(copy, damaged)
      try {
        if (await check()) noticed++
      } catch (error) {
        throw new Error(`bit ${bit} of byte ${at}`, { cause: error })
      }
    }
    return { noticed }
  }

  describe('event store', () => {
    /** @param swept how many of the streams have lost their first events on purpose */
    async function fill(swept = 0): Promise<void> {
      const store = await openSqliteEventStore(original)
      for (const [i, stream] of STREAMS.entries()) {
        await store.append(stream, 'no_stream', [makeEvent({ i }), makeEvent({ text: 'x'.repeat(i * 20) })])
      }
      for (const stream of STREAMS) await store.append(stream, 1, [makeEvent({ revoked: stream })])
      for (const stream of STREAMS.slice(0, swept)) await store.sweep?.(stream, 1)
      await store.close()
    }

    async function readEverything(store: EventStore): Promise<StoredEvent[]> {
      const all: StoredEvent[] = []
      for await (const events of store.readAll(null)) all.push(...events)
      return all
    }

    const neverServesAnythingElse = async (swept: number): Promise<void> => {
      await fill(swept)
      const whole = await openSqliteEventStore(original)
      const truth = await readEverything(whole)
      const head = await whole.head()
      await whole.close()

      const { noticed } = await forEachFlip(1, async () => {
        let errors = 0
        const attempt = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
          try {
            return await read()
          } catch {
            errors++
            return undefined
          }
        }
        const store = await attempt(() => openSqliteEventStore(copy))
        if (!store) return true
        for (const stream of STREAMS) {
          const events = await attempt(() => store.readStream(stream))
          if (events) expect(events).to.deep.equal(truth.filter((event) => event.stream === stream))
        }
        const newest = await attempt(() => store.head())
        if (newest !== undefined) expect(newest).to.equal(head)
        const all = await attempt(() => readEverything(store))
        if (all) {
          expect(all).to.have.length(truth.length)
          for (const [i, event] of all.entries()) {
            if (event.data === null) errors++
            else expect(event).to.deep.equal(truth[i])
          }
        }
        await attempt(() => store.close())
        return errors > 0
      })
      expect(noticed).to.be.greaterThan(FLIPS / 4)
    }

    it('is never served as something else', () => neverServesAnythingElse(0))

    it('is never served as something else after a sweep', () => neverServesAnythingElse(12))

    /** Runs one statement on the file, without the store. */
    async function tamper(sql: string): Promise<void> {
      const database = await openDatabase(original, { synchronous: 'FULL' })
      database.exec(sql)
      database.close()
    }

    for (const [what, sql] of [
      ['altered', `UPDATE events SET data = '{"revoked":1}' WHERE stream = 'apiToken-3' AND revision = 2`],
      [
        'moved from another stream',
        `UPDATE events SET stream = 'apiToken-3', revision = 3 WHERE stream = 'apiToken-4' AND revision = 2`,
      ],
      ['removed from the middle', `DELETE FROM events WHERE stream = 'apiToken-3' AND revision = 1`],
      ['removed from the end', `DELETE FROM events WHERE stream = 'apiToken-3' AND revision = 2`],
      ['not JSON', `UPDATE events SET metadata = '{' WHERE stream = 'apiToken-3' AND revision = 0`],
    ] as const) {
      it(`names the stream of an event that was ${what}`, async () => {
        await fill()
        await tamper(sql)
        const store = await openSqliteEventStore(original)
        const error = await rejection(store.readStream('apiToken-3'))
        expect(error).to.be.instanceOf(DamagedError)
        expect((error as Error).message).to.match(/apiToken-3.*revision/)
        expect(await store.readStream('apiToken-5')).to.have.length(3)
        await store.close()
      })
    }

    it('hands a damaged event to a subscription without its data and goes on', async () => {
      await fill()
      await tamper(`UPDATE events SET data = '{', stream = 'elsewhere' WHERE position = 2`)
      const store = await openSqliteEventStore(original)
      const stop = new AbortController()
      for await (const { events } of store.subscribe(null, ['apiToken-'], stop.signal)) {
        expect(events).to.have.length(STREAMS.length * 3)
        expect(events[1]).to.include({ data: null, metadata: null, position: '0000000000000002' })
        stop.abort()
      }
      await store.close()
    })
  })

  describe('read model', () => {
    const put = (id: string, i: number): DocumentChange => ({
      kind: 'put',
      collection: 'tokens',
      id,
      revision: 0,
      fields: {
        hash: `hash-${id}`,
        accountId: `account-${i % 3}`,
        createdAt: `2026-01-0${i % 9}`,
        phase: 'active',
        scopes: ['a', 'b'],
      },
    })

    async function fill(): Promise<void> {
      const model = await openSqliteReadModel(original)
      await model.open(projections)
      await model.apply(IDS.map(put), piece(projections, 0, 40))
      await model.close()
    }

    const OF_ACCOUNT: Condition[] = [
      { field: 'accountId', op: 'eq', value: 'account-1' },
      { field: 'phase', op: 'eq', value: 'active' },
    ]
    const find = (model: ReadModel, where: Condition[], order: NonNullable<Query['order']>) =>
      model.find('tokens', { where, order, limit: 100 })

    const readAll = async (model: ReadModel): Promise<unknown[]> => [
      ...(await Promise.all(IDS.map((id) => model.get('tokens', id)))),
      ...(await Promise.all(
        IDS.map((id) => find(model, [{ field: 'hash', op: 'eq', value: `hash-${id}` }], 'any')),
      )),
      await find(model, OF_ACCOUNT, { field: 'createdAt' }),
      await model.count('tokens', OF_ACCOUNT, 100),
      await Promise.all(projections.map((projection) => model.checkpoint(projection))),
    ]

    it('is not opened after a clean close', async () => {
      await fill()
      const { noticed } = await forEachFlip(2, async () => {
        cpSync(`${original}.seal`, `${copy}.seal`)
        const error = await rejection(openSqliteReadModel(copy))
        expect(error).to.be.instanceOf(DamagedError)
        return true
      })
      expect(noticed).to.equal(FLIPS)
      const model = await openSqliteReadModel(original)
      await model.open(projections)
      expect((await readAll(model)).flat()).not.to.include(null)
      await model.close()
    })

    it('serves no document that was not written, even without the seal of a clean close', async () => {
      await fill()
      const whole = await openSqliteReadModel(original)
      await whole.open(projections)
      const truth = new Map<string, unknown>()
      for (const id of IDS) truth.set(id, await whole.get('tokens', id))
      await whole.close()
      const { noticed } = await forEachFlip(3, async () => {
        rmSync(`${copy}.seal`, { force: true })
        let errors = 0
        let model: ReadModel | undefined
        try {
          model = await openSqliteReadModel(copy)
          await model.open(projections)
          for (const id of IDS) {
            const where = [{ field: 'hash', op: 'eq', value: `hash-${id}` }] as const
            const read = [model.get('tokens', id), find(model, [...where], 'any').then(([found]) => found)]
            for (const result of await Promise.allSettled(read)) {
              if (result.status === 'rejected') errors++
              else if (result.value) expect(result.value).to.deep.equal(truth.get(id))
            }
          }
        } catch (error) {
          if ((error as Error).name === 'AssertionError') throw error
          errors++
        } finally {
          await model?.close().catch(() => {})
        }
        return errors > 0
      })
      expect(noticed).to.be.greaterThan(0)
    })

    it('names the document that was altered', async () => {
      await fill()
      rmSync(`${original}.seal`)
      const database = await openDatabase(original, { synchronous: 'NORMAL' })
      database.exec(
        `UPDATE tokens_v${tokens.version} SET doc = replace(doc, 'account-1', 'account-2') WHERE id = 'token-1'`,
      )
      database.close()
      const model = await openSqliteReadModel(original)
      await model.open(projections)
      const error = await rejection(model.get('tokens', 'token-1'))
      expect(error).to.be.instanceOf(DamagedError)
      expect((error as Error).message)
        .to.contain('tokens')
        .and.contain('token-1')
      await model.close()
    })
  })
})
