import type { DocumentChange } from '../../../../projections/projection.ts'
import { applyChange, type StoredDocument } from '../../../../projections/change.ts'
import { cellAt, load, ROWS_AT_ONCE, type Table } from './collections.ts'
import { type Cell, checksum, type Database } from '../database/database.ts'

/**
 * The documents that a transaction works on. Each is loaded once and written once, however many changes it gets. The
 * last ones stay in memory for the next transaction, which is safe since this process is the only writer of the file.
 */
export interface Documents {
  apply(table: Table, change: DocumentChange): void
  /** Writes what changed. */
  write(): void
  committed(): void
  forget(): void
}

export interface Entry {
  table: Table
  id: string
  document: StoredDocument
  /** The values of the indexed fields in the table; null if the document is not in the table yet. */
  cells: Cell[] | null
  changed: boolean
}

/** How many documents stay in memory. */
const KEPT = 5_000

export function createDocuments(database: Database): Documents {
  const entries = new Map<string, Entry>()
  const changed: Entry[] = []

  function entryOf(table: Table, { kind, id }: DocumentChange): Entry {
    const key = `${table.name}/${id}`
    const known = entries.get(key)
    // Deleted and set again, it moves to the end of the map, whose first entries were not used for the longest time.
    if (known) entries.delete(key)
    const entry = known ?? (kind === 'replace' ? unreadEntry : readEntry)(database, table, id)
    entries.set(key, entry)
    return entry
  }

  return {
    apply(table, change) {
      const entry = entryOf(table, change)
      const wasChanged = entry.changed
      if (applyTo(entry, change) && !wasChanged) changed.push(entry)
    },
    write() {
      for (const entry of changed) writeEntry(database, entry)
    },
    committed() {
      changed.length = 0
      for (const [key] of entries) {
        if (entries.size <= KEPT) break
        entries.delete(key)
      }
    },
    forget() {
      entries.clear()
      changed.length = 0
    },
  }
}

/** A document that is not there yet. */
const newEntry = (table: Table, id: string): Entry => ({
  table,
  id,
  document: {},
  cells: null,
  changed: false,
})

export function readEntry(database: Database, table: Table, id: string): Entry {
  const document = load(database, table, id)
  return document
    ? { ...newEntry(table, id), document, cells: cellsOf(table, document) }
    : newEntry(table, id)
}

/**
 * A document that will be replaced, so it is not read. NaN stands for its old values, since NaN differs from any new
 * one.
 */
function unreadEntry(database: Database, table: Table, id: string): Entry {
  const isThere = database.prepare(table.statements.load).get(id) !== undefined
  return { ...newEntry(table, id), cells: isThere ? table.fields.map(() => Number.NaN) : null }
}

/** @returns whether anything changed */
export function applyTo(entry: Entry, change: DocumentChange): boolean {
  const isNew = !entry.cells && !entry.changed
  const isChange = applyChange(entry.document, change, isNew)
  if (isChange) entry.changed = true
  return isChange
}

export function writeEntry(database: Database, entry: Entry): void {
  const { table, id, document, cells: before } = entry
  const { insert, update } = table.statements
  const doc = JSON.stringify(document)
  const crc = checksum(id, doc)
  const after = cellsOf(table, document)
  if (before) {
    const changed = after.flatMap((cell, i) => (cell === before[i] ? [] : [i]))
    database.prepare(update(changed)).run(doc, crc, ...changed.map((i) => after[i] as Cell), id)
  } else database.prepare(insert).run(doc, crc, ...after, id)
  entry.cells = after
  entry.changed = false
}

/** Inserts documents that are known not to be in the table. */
export function insertDocuments(
  database: Database,
  table: Table,
  documents: Iterable<readonly [id: string, document: StoredDocument]>,
): void {
  const { statements, fields } = table
  const width = fields.length + 3
  let cells: Cell[] = []
  for (const [id, document] of documents) {
    const doc = JSON.stringify(document)
    // One text of both, since a second call for a short part would cost more than joining them.
    cells.push(doc, checksum(`${id}\n${doc}`), ...cellsOf(table, document), id)
    if (cells.length < width * ROWS_AT_ONCE) continue
    database.prepare(statements.insertMany).run(...cells)
    cells = []
  }
  for (let at = 0; at < cells.length; at += width)
    database.prepare(statements.insert).run(...cells.slice(at, at + width))
}

const cellsOf = (table: Table, document: StoredDocument): Cell[] =>
  table.fields.map((field) => cellAt(document, field))
