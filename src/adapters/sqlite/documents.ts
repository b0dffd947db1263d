import type { Change } from '../../../projections/projection.ts'
import { applyChange, type StoredDocument } from '../../../projections/change.ts'
import { cellAt, load, type Table } from './collections.ts'
import { type Cell, checksum, type Database } from './database.ts'

/**
 * The documents a transaction works on: each is loaded once and written once, however many changes it gets, and
 * the last ones stay for the next transaction. That is safe because this process is the only writer of the file.
 */
export interface Documents {
  apply(table: Table, change: Change): void
  /** A whole document as it was stored elsewhere. */
  put(table: Table, id: string, document: StoredDocument): void
  /** How many wait to be written. */
  waiting(): number
  /** Writes what changed. */
  write(): void
  committed(): void
  forget(): void
}

interface Entry {
  table: Table
  id: string
  document: StoredDocument
  /** Values of the indexed fields as they are in the table; null: it is not there yet. */
  cells: Cell[] | null
  changed: boolean
}

const KEPT = 5_000

/** @param kept how many stay in memory from one transaction to the next */
export function createDocuments(database: Database, kept = KEPT): Documents {
  const entries = new Map<string, Entry>()
  const changed: Entry[] = []

  function entryOf(table: Table, id: string): Entry {
    const key = `${table.name}/${id}`
    const known = entries.get(key)
    // Moved to the end: the first ones of the map are those not used for longest.
    if (known) entries.delete(key)
    const entry = known ?? read(table, id)
    entries.set(key, entry)
    return entry
  }

  function read(table: Table, id: string): Entry {
    const document = load(database, table, id)
    return {
      table,
      id,
      document: document ?? {},
      cells: document && cellsOf(table, document),
      changed: false,
    }
  }

  function write(entry: Entry): void {
    const { table, id, document, cells: before } = entry
    const { insert, update, updateWithFields } = table.statements
    const doc = JSON.stringify(document)
    const crc = checksum(id, doc)
    const after = cellsOf(table, document)
    if (before?.every((cell, i) => cell === after[i])) database.prepare(update).run(doc, crc, id)
    else database.prepare(before ? updateWithFields : insert).run(doc, crc, ...after, id)
    entry.cells = after
    entry.changed = false
  }

  return {
    apply(table, change) {
      const entry = entryOf(table, change.id)
      const isNew = !entry.cells && !entry.changed
      if (!applyChange(entry.document, change, isNew) || entry.changed) return
      entry.changed = true
      changed.push(entry)
    },
    put(table, id, document) {
      const entry = { table, id, document, cells: null, changed: true }
      entries.set(`${table.name}/${id}`, entry)
      changed.push(entry)
    },
    waiting: () => changed.length,
    write() {
      changed.forEach(write)
    },
    committed() {
      changed.length = 0
      for (const [key] of entries) {
        if (entries.size <= kept) break
        entries.delete(key)
      }
    },
    forget() {
      entries.clear()
      changed.length = 0
    },
  }
}

const cellsOf = (table: Table, document: StoredDocument): Cell[] =>
  table.fields.map((field) => cellAt(document, field))
