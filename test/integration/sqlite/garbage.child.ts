import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { projections } from '../../../projections/index.ts'
import { openPlain } from '../../../src/adapters/sqlite/database/database.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { countEvents, quickCheck } from '../../../src/adapters/sqlite/database/inspect.ts'
import { checkIndexes } from '../../../src/adapters/sqlite/log/indexes.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { seal } from '../../../src/adapters/sqlite/documents/seal.ts'

/**
 * Reads as much as it can of files with damage in them, for a test that watches its output. Whatever is in an error's
 * message, the process must survive it. Prints what is damaged before it reads.
 */
const [folder = '', kind = ''] = process.argv.slice(2)
const work = join(folder, `work-${kind}`)

interface Column {
  table: string
  column: string
}

async function columnsOf(file: string): Promise<Column[]> {
  const database = await openPlain(file)
  const sql = `SELECT m.name AS "table", c.name AS "column" FROM sqlite_schema m, pragma_table_info(m.name) c
    WHERE m.type = 'table' ORDER BY 1, 2`
  const found = database.prepare(sql).all()
  database.close()
  return found.map(({ table, column }) => ({ table: String(table), column: String(column) }))
}

/** Puts text that is not UTF-8 into every row, as one flipped bit in the row's header or text does. */
async function damage(file: string, { table, column }: Column): Promise<void> {
  const withSchema = async (sql: string): Promise<void> => {
    const database = await openPlain(file)
    database.exec(`PRAGMA busy_timeout = 1000; PRAGMA writable_schema = ON; ${sql}`)
    database.close()
  }
  const garble = `UPDATE OR REPLACE "${table}" SET "${column}" = CAST(X'c328ff' AS TEXT)`
  // `node:sqlite` does not let anybody change a schema by hand, but accepts any text.
  if (process.getBuiltinModule?.('node:sqlite')) return void (await withSchema(garble).catch(ignored))
  // SQLite would refuse such text in a strict table, so the table is not strict during the write.
  await withSchema("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '/*S*/ ') WHERE type = 'table'")
  await withSchema(garble).catch(ignored)
  await withSchema("UPDATE sqlite_schema SET sql = replace(sql, '/*S*/ ', 'STRICT') WHERE type = 'table'")
}

const ignored = (): null => null

const READ: Record<string, { file: string; read: () => Promise<void> }> = {
  events: {
    file: 'events.db',
    async read() {
      const path = join(work, 'events.db')
      const store = await openSqliteEventStore(path)
      try {
        for await (const batch of store.readAll(null))
          for (const { stream } of batch) await store.readStream(stream).catch(ignored)
      } finally {
        await store.close().catch(ignored)
      }
      await Promise.all(
        [checkIndexes(path), quickCheck(path), countEvents(path)].map((one) => one.catch(ignored)),
      )
    },
  },
  live: {
    file: 'read-model.db',
    async read() {
      rmSync(join(work, 'read-model.db.seal'))
      const model = await openSqliteReadModel(join(work, 'read-model.db'))
      await model.open(projections).catch(ignored)
      for (const projection of projections) {
        await model.checkpoint(projection).catch(ignored)
        for (const { name, indexes } of projection.collections) {
          await model.find(name, { where: [], limit: 100 }).catch(ignored)
          for (const [field = 'id'] of indexes.map(({ fields }) => fields))
            await model.find(name, { where: [], order: { field }, limit: 100 }).catch(ignored)
        }
      }
      await model.close()
    },
  },
  'half-filled': {
    file: 'read-model.db.g2',
    async read() {
      const model = await openSqliteReadModel(join(work, 'read-model.db'), { readOnly: true })
      await model.open(projections)
      const next = await model.next(projections)
      await next.startDualWrites().then(next.promote).catch(ignored)
      await next.close()
      await model.close()
    },
  },
  offered: {
    file: 'read-model.db.g2',
    async read() {
      seal(join(work, 'read-model.db.g2'))
      const model = await openSqliteReadModel(join(work, 'read-model.db'))
      await model.open(projections)
      const next = await model.handedOver()
      await next?.startDualWrites().then(next.promote).catch(ignored)
      await model.find('tokens', { where: [], limit: 100 }).catch(ignored)
      await next?.close()
      await model.close()
    },
  },
}

const { file, read } = READ[kind] ?? { file: '', read: () => Promise.reject(new Error(`no ${kind}`)) }
for (const one of await columnsOf(join(folder, kind, file))) {
  console.log(`${one.table}.${one.column}`)
  cpSync(join(folder, kind), work, { recursive: true })
  await damage(join(work, file), one)
  await read().catch(ignored)
  rmSync(work, { recursive: true })
}
console.log('all')
process.exit(0)
