import type { DocumentChange } from '../../../../projections/projection.ts'
import type { Table } from '../documents/collections.ts'
import {
  bytes,
  checksum,
  type Database,
  integer,
  pagesOf,
  type SqlRow,
  toBytes,
  toText,
} from '../database/database.ts'
import { applyTo, type Entry, readEntry, writeEntry } from '../documents/documents.ts'
import { beyondUse } from '../documents/seal.ts'

/** Changes that are deferred until their documents can be found by an index. */
export interface DeferredChanges {
  add(table: Table, change: DocumentChange): void
  isFull(): boolean
  /** Writes the changes that were added. */
  write(): void
  /** Are there changes that were written and not applied? */
  waits(): boolean
  /**
   * The documents that deferred changes of an earlier run belong to, each as often as it has changes.
   * @throws DamagedError if one of the changes is not what was written
   */
  ids(): Iterable<[table: string, id: string]>
  /** Applies all of them, in the order of the index by which the documents are found. */
  apply(tables: readonly Table[]): void
}

/** The table has kept its first name, so that files of older versions can be resumed. */
export const DEFERRED = 'aside'
/** How many changes are kept in memory before they are written. */
const FULL = 5_000
const PAGE = 2_000
const CHANGE = `${bytes('id')}, ${bytes('change')}, ${integer('crc')}`

export function createDeferredChanges(database: Database): DeferredChanges {
  let added: (readonly [Table, DocumentChange])[] = []
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${DEFERRED}
       (collection TEXT NOT NULL, id TEXT NOT NULL, change TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
  )

  function check(table: string, { idBytes, changeBytes, crc }: SqlRow): void {
    if (crc !== checksum(table, toText(idBytes), toBytes(changeBytes))) throw beyondUse(database.path)
  }

  /** Applies some changes, those of one document in the order in which they came. */
  function applySome(table: Table, rows: readonly SqlRow[]): void {
    let entry: Entry | null = null
    for (const row of rows) {
      check(table.name, row)
      const change: DocumentChange = JSON.parse(toText(row.changeBytes))
      if (entry?.id !== change.id) {
        if (entry?.changed) writeEntry(database, entry)
        entry = readEntry(database, table, change.id)
      }
      applyTo(entry, change)
    }
    if (entry?.changed) writeEntry(database, entry)
  }

  function applyTable(table: Table): void {
    const sql = `SELECT rowid AS n, ${CHANGE} FROM ${DEFERRED}
      WHERE collection = ? AND (id, rowid) > (?, ?) ORDER BY id, rowid LIMIT ${PAGE}`
    for (let [id, n] = ['', 0]; ; ) {
      const rows = database.prepare(sql).all(table.name, id, n)
      const last = rows.at(-1)
      if (!last) return
      database.inTransaction('immediate', () => applySome(table, rows))
      ;[id, n] = [toText(last.idBytes), Number(last.n)]
    }
  }

  return {
    add: (table, change) => void added.push([table, change]),
    isFull: () => added.length >= FULL,

    write() {
      const insert = database.prepare(`INSERT INTO ${DEFERRED} VALUES (?, ?, ?, ?)`)
      for (const [table, change] of added) {
        const text = JSON.stringify(change)
        insert.run(table.name, change.id, text, checksum(table.name, change.id, text))
      }
      added = []
    },

    waits: () => database.prepare(`SELECT 1 FROM ${DEFERRED} LIMIT 1`).get() !== undefined,

    *ids() {
      for (const rows of pagesOf(database, DEFERRED, `${bytes('collection')}, ${CHANGE}`, PAGE)) {
        for (const row of rows) {
          const table = toText(row.collectionBytes)
          check(table, row)
          yield [table, toText(row.idBytes)]
        }
      }
    },

    apply(tables) {
      database.exec(`CREATE INDEX IF NOT EXISTS ${DEFERRED}_id ON ${DEFERRED} (collection, id)`)
      for (const table of tables) applyTable(table)
      database.exec(`DROP INDEX ${DEFERRED}_id; DELETE FROM ${DEFERRED}`)
    },
  }
}
