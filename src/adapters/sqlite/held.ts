import type { StoredDocument } from '../../../projections/change.ts'
import { DOCUMENT, type Table } from './collections.ts'
import { checksum, type Database } from './database.ts'

/** Copies of the documents that were in memory at the last checkpoint. */
export interface Held {
  load(table: Table): Map<string, StoredDocument>
  /** Instead of those that there are. */
  replace(documents: Iterable<readonly [Table, string, StoredDocument]>): void
}

export const HELD = 'held'

export function createHeld(database: Database): Held {
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${HELD}
       (collection TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
  )
  return {
    load(table) {
      const rows = database.prepare(`SELECT ${DOCUMENT} FROM ${HELD} WHERE collection = ?`).all(table.name)
      return new Map(rows.map(table.parse))
    },
    replace(documents) {
      database.exec(`DELETE FROM ${HELD}`)
      const insert = database.prepare(`INSERT INTO ${HELD} VALUES (?, ?, ?, ?)`)
      for (const [table, id, document] of documents) {
        const doc = JSON.stringify(document)
        insert.run(table.name, id, doc, checksum(id, doc))
      }
    },
  }
}
