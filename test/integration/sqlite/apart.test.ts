import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openDatabase } from '../../../src/adapters/sqlite/database/database.ts'
import { seal } from '../../../src/adapters/sqlite/documents/seal.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { DamagedError } from '../../../src/domain/errors.ts'
import { latest, people } from '../../contract/readModel.fixtures.ts'

describe('A member that SQLite keeps beside its document', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-'))
  after(() => rmSync(folder, { recursive: true }))

  for (const [what, sql] of [
    ['altered', `UPDATE seen_v1 SET f_at = '2' WHERE id = 'a'`],
    ['removed', `UPDATE seen_v1 SET f_at = NULL WHERE id = 'a'`],
    [
      'taken from another',
      `UPDATE seen_v1 SET (f_at, apart_crc) = (SELECT f_at, apart_crc FROM seen_v1 WHERE id = 'b') WHERE id = 'a'`,
    ],
    ['without its checksum', `UPDATE seen_v1 SET apart_crc = NULL WHERE id = 'a'`],
  ] as const) {
    it(`is not served where it was ${what}`, async () => {
      const path = join(folder, `${what}.db`)
      const model = await openSqliteReadModel(path)
      await model.open([people])
      await model.apply([latest('a', '1'), latest('b', '3')])
      await model.close()
      const database = await openDatabase(path, { synchronous: 'NORMAL' })
      database.exec(sql)
      database.checkpoint()
      database.close()
      // What was altered has a checksum of its own; that of the whole file is made anew.
      seal(path)
      const again = await openSqliteReadModel(path)
      await again.open([people])
      const error = await again.get('seen', 'a').catch((caught: unknown) => caught)
      expect(error).to.be.instanceOf(DamagedError)
      expect(await again.get('seen', 'b')).to.deep.equal({ id: 'b', at: '3' })
      await again.close()
    })
  }
})
