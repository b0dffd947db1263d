import type { StoredDocument } from '../../../../projections/change.ts'
import { DOCUMENT, type Table } from '../documents/collections.ts'
import { bytes, checksum, type Database, pagesOf, toBytes, toText } from '../database/database.ts'
import { beyondUse } from '../documents/seal.ts'

/** Stored copies of the documents that were in memory at the last checkpoint, so that another run can resume. */
export interface HeldDocuments {
  /** @throws DamagedError if one of them is not what was written */
  documents(): Iterable<[table: string, id: string, StoredDocument]>
  /** Stores these documents in place of all others. */
  replace(documents: Iterable<readonly [Table, string, StoredDocument]>): void
}

export const HELD = 'held'
const PAGE = 500

export function createHeldDocuments(database: Database): HeldDocuments {
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${HELD}
       (collection TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
  )
  return {
    *documents() {
      for (const rows of pagesOf(database, HELD, `${bytes('collection')}, ${DOCUMENT}`, PAGE)) {
        for (const { collectionBytes, idBytes, docBytes, crc } of rows) {
          const [table, id, doc] = [toText(collectionBytes), toText(idBytes), toBytes(docBytes)]
          if (crc !== checksum(table, id, doc)) throw beyondUse(database.path)
          yield [table, id, JSON.parse(doc.toString('utf8'))]
        }
      }
    },

    replace(documents) {
      database.exec(`DELETE FROM ${HELD}`)
      const insert = database.prepare(`INSERT INTO ${HELD} VALUES (?, ?, ?, ?)`)
      for (const [table, id, document] of documents) {
        const doc = JSON.stringify(document)
        insert.run(table.name, id, doc, checksum(table.name, id, doc))
      }
    },
  }
}
