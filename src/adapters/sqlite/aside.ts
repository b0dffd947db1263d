import type { Change } from '../../../projections/projection.ts'
import type { Table } from './collections.ts'
import { bytes, checksum, type Database, type Row, toBytes, toText } from './database.ts'
import { applyTo, type Entry, readEntry, writeEntry } from './documents.ts'
import { beyondUse } from './seal.ts'

/** Changes that wait for their documents to be found. */
export interface Aside {
  add(table: Table, change: Change): void
  isFull(): boolean
  /** What was added. */
  write(): void
  /** The documents that changes of an earlier run are waiting for. */
  ids(table: Table): Iterable<string>
  /** Applies them to documents that are found by an index, in the order of that. */
  apply(table: Table): void
  clear(): void
}

export const ASIDE = 'aside'
/** Written at once. */
const FULL = 5_000
const PAGE = 2_000

export function createAside(database: Database): Aside {
  let added: (readonly [Table, Change])[] = []
  database.exec(
    `CREATE TABLE IF NOT EXISTS ${ASIDE}
       (collection TEXT NOT NULL, id TEXT NOT NULL, change TEXT NOT NULL, crc INTEGER NOT NULL) STRICT`,
  )

  function changeOf({ idBytes, changeBytes, crc }: Row): Change {
    const [id, text] = [toText(idBytes), toBytes(changeBytes)]
    if (crc !== checksum(id, text)) throw beyondUse(database.path)
    return JSON.parse(text.toString('utf8'))
  }

  /** Those of one document as they came. @returns the last row */
  function applySome(table: Table, rows: readonly Row[]): void {
    let entry: Entry | null = null
    for (const row of rows) {
      const change = changeOf(row)
      if (entry?.id !== change.id) {
        if (entry?.changed) writeEntry(database, entry)
        entry = readEntry(database, table, change.id)
      }
      applyTo(entry, change)
    }
    if (entry?.changed) writeEntry(database, entry)
  }

  return {
    add: (table, change) => void added.push([table, change]),
    isFull: () => added.length >= FULL,

    write() {
      const insert = database.prepare(`INSERT INTO ${ASIDE} VALUES (?, ?, ?, ?)`)
      for (const [table, change] of added) {
        const text = JSON.stringify(change)
        insert.run(table.name, change.id, text, checksum(change.id, text))
      }
      added = []
    },

    *ids(table) {
      const sql = `SELECT rowid AS n, ${bytes('id')} FROM ${ASIDE}
        WHERE collection = ? AND rowid > ? ORDER BY rowid LIMIT ${PAGE}`
      for (let after = 0; ; ) {
        const rows = database.prepare(sql).all(table.name, after)
        if (rows.length === 0) return
        for (const { idBytes } of rows) yield toText(idBytes)
        after = Number(rows.at(-1)?.n)
      }
    },

    apply(table) {
      database.exec(`CREATE INDEX IF NOT EXISTS ${ASIDE}_id ON ${ASIDE} (collection, id)`)
      const sql = `SELECT rowid AS n, ${bytes('id')}, ${bytes('change')}, crc FROM ${ASIDE}
        WHERE collection = ? AND (id, rowid) > (?, ?) ORDER BY id, rowid LIMIT ${PAGE}`
      for (let [id, n] = ['', 0]; ; ) {
        const rows = database.prepare(sql).all(table.name, id, n)
        const last = rows.at(-1)
        if (!last) return
        database.inTransaction('immediate', () => applySome(table, rows))
        ;[id, n] = [toText(last.idBytes), Number(last.n)]
      }
    },

    clear: () => database.exec(`DROP INDEX IF EXISTS ${ASIDE}_id; DELETE FROM ${ASIDE}`),
  }
}
