import { mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { projections } from '../../../projections/index.ts'
import { openPlain } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { DamagedError } from '../../../src/domain/errors.ts'

const IDS = Array.from({ length: 300 }, (_, i) => `token-${String(i).padStart(4, '0')}`)

/** A read model as a crash leaves it: complete, but without the seal of a file that was closed in good order. */
async function crashed(folder: string): Promise<string> {
  const path = join(folder, 'read-model.db')
  const model = await openSqliteReadModel(path)
  await model.open(projections)
  await model.apply(
    IDS.map((id, i) => ({
      kind: 'put',
      collection: 'tokens',
      id,
      revision: 0,
      fields: {
        hash: `hash-${i}`,
        accountId: 'acct_1',
        createdAt: '2026-01-01T00:00:00.000Z',
        revokedAt: null,
      },
    })),
  )
  await model.close()
  rmSync(`${path}.seal`)
  return path
}

describe('a read model that a crash left', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('opens when it is sound', async () => {
    const model = await openSqliteReadModel(await crashed(folder))
    await model.open(projections)
    expect(await model.get('tokens', IDS[7] ?? '')).to.include({ hash: 'hash-7' })
    await model.close()
  })

  it('is refused, and can be opened again later, when an index no longer finds a document', async () => {
    const path = await crashed(folder)
    const bytes = readFileSync(path)
    const plain = await openPlain(path)
    const pages = plain.prepare("SELECT rootpage AS page FROM sqlite_schema WHERE type = 'index'").all()
    const size = Number(plain.prepare('PRAGMA page_size').get()?.page_size)
    plain.close()
    expect(pages.length).to.be.above(0)
    // The last byte of the root page of an index belongs to a key of it.
    const [{ page } = { page: 0 }] = pages
    const at = Number(page) * size - 1
    const file = openSync(path, 'r+')
    writeSync(file, Buffer.from([(bytes[at] ?? 0) ^ 1]), 0, 1, at)
    expect(statSync(path).size).to.equal(bytes.length)
    for (let attempt = 0; attempt < 2; attempt++) {
      const error = await openSqliteReadModel(path).then(
        () => null,
        (thrown: unknown) => thrown,
      )
      expect(error).to.be.instanceOf(DamagedError)
    }
  })
})
