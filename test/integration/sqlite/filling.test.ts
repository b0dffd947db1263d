import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { DocumentChange } from '../../../projections/projection.ts'
import { openDatabase } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import type { NextGeneration } from '../../../src/application/ports/nextGeneration.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import { rejection } from '../../contract/fixtures.ts'
import { add, people, piece, place, put } from '../../contract/readModel.fixtures.ts'

/** Far more documents than stay in memory. Each is used again long after it has left the memory. */
const DOCUMENTS = 50_000
const ROUNDS = 4
const AT_ONCE = 1_000

describe('filling a SQLite read model with more than memory holds', () => {
  let folder: string
  let model: ReadModel
  let reached: number
  let next: NextGeneration

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-filling-'))
    reached = 0
    const made = await open(false)
    await made.close()
    model = await open(true)
    next = await model.next([people])
  })

  afterEach(async () => {
    await next.close()
    await model.close()
    rmSync(folder, { recursive: true })
  })

  async function open(readOnly: boolean): Promise<ReadModel> {
    const opened = await openSqliteReadModel(join(folder, 'model.db'), { readOnly })
    await opened.open([people])
    return opened
  }

  const named = (n: number): string => `p${n}`

  async function apply(changes: readonly DocumentChange[], to = reached + changes.length): Promise<void> {
    await next.apply(changes, piece([people], reached, to))
    reached = to
  }

  /** Changes every document in turn. One in ten also gets a `put`, and an address. */
  async function round(revision: number): Promise<void> {
    for (let from = 0; from < DOCUMENTS; from += AT_ONCE) {
      const changes: DocumentChange[] = []
      for (let n = from; n < from + AT_ONCE; n++) {
        changes.push(
          add(named(n), reached + n - from + 1, {
            sum: { n: 1 },
            top: [{ field: 'routes', cap: 2, other: '*', counts: [[`r${revision}`, 1]] }],
          }),
        )
        if (n % 10 === 0) changes.push(put(named(n), revision, { email: `${n}@${revision}`, city: 'Ulm' }))
      }
      await apply(changes, reached + AT_ONCE)
    }
  }

  async function finish(): Promise<ReadModel> {
    expect(await next.startDualWrites()).to.equal('started')
    expect(await next.promote()).to.equal(true)
    await next.close()
    await model.close()
    return (model = await open(false))
  }

  async function expectAll(rounds: number): Promise<void> {
    let count = 0
    const [last, caps] = [rounds - 1, { r0: 1, r1: 1, ...(rounds > 2 ? { '*': rounds - 2 } : {}) }]
    for (let after = ''; ; ) {
      const page = await model.find('people', { where: [], limit: 5_000, after: { value: null, id: after } })
      for (const { id, ...found } of page) {
        const n = Number(id.slice(1))
        const email = n % 10 === 0 ? { email: `${n}@${last}`, city: 'Ulm' } : {}
        expect(found, id).to.deep.equal({ n: rounds, routes: caps, ...email })
      }
      count += page.length
      if (page.length < 5_000) break
      after = page.at(-1)?.id ?? ''
    }
    expect(count).to.equal(DOCUMENTS)
    const found = await model.find('people', {
      where: [{ field: 'email', op: 'eq', value: `10@${last}` }],
      order: 'any',
      limit: 2,
    })
    expect(found.map(({ id }) => id)).to.deep.equal(['p10'])
  }

  it('loses no change of a document that has left it', async () => {
    for (let revision = 0; revision < ROUNDS; revision++) await round(revision)
    await finish()
    await expectAll(ROUNDS)
  })

  it('is gone on with after an orderly end, without reading anything twice', async () => {
    for (let revision = 0; revision < ROUNDS; revision++) {
      await round(revision)
      await next.close()
      next = await model.next([people])
      expect(await next.checkpoint(people)).to.deep.equal(place(reached))
    }
    await finish()
    await expectAll(ROUNDS)
  })

  it('takes no harm from changes that come again', async () => {
    await round(0)
    const before = reached
    await round(1)
    reached = 0
    await round(0)
    expect(reached).to.equal(before)
    await round(1)
    await finish()
    await expectAll(2)
  })

  const openFile = () =>
    openDatabase(join(folder, 'model.db.g2'), { synchronous: 'NORMAL', journal: 'DELETE' })

  /** Makes damage that SQLite does not notice. */
  async function damage(sql: string): Promise<void> {
    await next.close()
    const database = await openFile()
    database.exec(sql)
    expect(database.prepare('SELECT changes() AS n').get()?.n).to.equal(1)
    database.close()
    next = await model.next([people])
  }

  for (const [what, sql] of [
    [
      'a change that waits',
      'UPDATE aside SET change = replace(change, \'"n":1\', \'"n":3\') WHERE rowid = 7',
    ],
    ['where a change belongs', "UPDATE aside SET collection = collection || 'x' WHERE rowid = 7"],
    ['a document in memory', 'UPDATE held SET doc = replace(doc, \'"n":1\', \'"n":3\') WHERE rowid = 7'],
    ['where a document in memory belongs', "UPDATE held SET collection = collection || 'x' WHERE rowid = 7"],
  ] as const) {
    it(`is begun anew where the file was altered: ${what}`, async () => {
      await round(0)
      if (what.includes('change')) await round(1)
      await damage(sql)
      expect(await next.checkpoint(people)).to.equal(null)
      reached = 0
      await round(0)
      await round(1)
      await finish()
      await expectAll(2)
    })
  }

  it('is not thrown away for an outage that passes', async () => {
    await round(0)
    await next.close()
    const wal = join(folder, 'model.db.g2-wal')
    rmSync(wal, { force: true })
    mkdirSync(wal)
    const refused = await rejection(model.next([people]))
    rmSync(wal, { recursive: true })
    expect(refused).to.be.instanceOf(StoreUnavailableError)
    next = await model.next([people])
    expect(await next.checkpoint(people)).to.deep.equal(place(reached))
  })

  it('goes on while it is complete, before the switch', async () => {
    await round(0)
    await round(1)
    expect(await next.startDualWrites()).to.equal('started')
    await round(2)
    expect(await next.promote()).to.equal(true)
    await next.close()
    await model.close()
    model = await open(false)
    await expectAll(3)
    expect(
      readdirSync(folder).filter((name) => name.endsWith('-journal') && !name.includes('.lock')),
    ).to.deep.equal([])
  })
})
