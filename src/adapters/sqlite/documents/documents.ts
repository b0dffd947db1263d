import type { DocumentChange } from '../../../../projections/projection.ts'
import { applyChange, type StoredDocument } from '../../../../projections/change.ts'
import { cellAt, EMPTY, load, ROWS_AT_ONCE, type Table } from './collections.ts'
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
  /** The member that is apart as it was read; it may have been raised in the table since. */
  apart: unknown
  changed: boolean
}

/** How many documents stay in memory. */
const KEPT = 5_000

export function createDocuments(database: Database): Documents {
  const entries = new Map<string, Entry>()
  const changed: Entry[] = []
  /** The members that are apart, by id, as high as they are to be raised. */
  const raised = new Map<Table, Map<string, string>>()

  function entryOf(table: Table, { kind, id }: DocumentChange): Entry {
    const key = `${table.name}/${id}`
    const known = entries.get(key)
    // Deleted and set again, it moves to the end of the map, whose first entries were not used for the longest time.
    if (known) entries.delete(key)
    const entry = known ?? (kind === 'replace' ? unreadEntry : readEntry)(database, table, id)
    entries.set(key, entry)
    return entry
  }

  function raise(table: Table, { id, field, value }: Latest): void {
    if (field !== table.apart) throw new RangeError(`'${field}' of ${table.name} is not apart`)
    const values = raised.get(table) ?? new Map<string, string>()
    raised.set(table, values)
    if (value > (values.get(id) ?? '')) values.set(id, value)
  }

  return {
    apply(table, change) {
      if (change.kind === 'latest') return raise(table, change)
      if (change.kind === 'replace') raised.get(table)?.delete(change.id)
      const entry = entryOf(table, change)
      const wasChanged = entry.changed
      if (applyTo(entry, change) && !wasChanged) changed.push(entry)
    },
    write() {
      for (const entry of changed) writeEntry(database, entry)
      for (const [table, values] of raised) raiseAll(database, table, values)
    },
    committed() {
      changed.length = 0
      raised.clear()
      for (const [key] of entries) {
        if (entries.size <= KEPT) break
        entries.delete(key)
      }
    },
    forget() {
      entries.clear()
      changed.length = 0
      raised.clear()
    },
  }
}

/** A document that is not there yet. */
const newEntry = (table: Table, id: string): Entry => ({
  table,
  id,
  document: {},
  cells: null,
  apart: undefined,
  changed: false,
})

export function readEntry(database: Database, table: Table, id: string): Entry {
  const document = load(database, table, id)
  return document
    ? { ...newEntry(table, id), document, cells: cellsOf(table, document), apart: apartOf(table, document) }
    : newEntry(table, id)
}

/**
 * A document that will be replaced, so it is not read. NaN stands for its old values, since NaN differs from any new
 * one.
 */
function unreadEntry(database: Database, table: Table, id: string): Entry {
  const isThere = database.prepare(table.statements.load).get(id) !== undefined
  return {
    ...newEntry(table, id),
    cells: isThere ? table.fields.map(() => Number.NaN) : null,
    apart: Number.NaN,
  }
}

/** @returns whether anything changed */
export function applyTo(entry: Entry, change: DocumentChange): boolean {
  const isNew = !entry.cells && !entry.changed
  const isChange = applyChange(entry.document, change, isNew)
  if (isChange) entry.changed = true
  // The member that is apart may have been raised since it was read. It goes, whatever it is.
  if (change.kind === 'replace') entry.apart = Number.NaN
  return isChange
}

export function writeEntry(database: Database, entry: Entry): void {
  const { table, id, document, cells: before } = entry
  const { insert, update, setApart } = table.statements
  const doc = textOf(table, document)
  const apart = apartOf(table, document)
  const crc = checksum(id, doc)
  const after = cellsOf(table, document)
  if (before) {
    const changed = after.flatMap((cell, i) => (cell === before[i] ? [] : [i]))
    database.prepare(update(changed)).run(doc, crc, ...changed.map((i) => after[i] as Cell), id)
    if (table.apart !== null && apart !== entry.apart)
      database.prepare(setApart).run(...apartCells(table, id, document), id)
  } else database.prepare(insert).run(doc, crc, ...after, ...apartCells(table, id, document), id)
  entry.cells = after
  entry.apart = apart
  entry.changed = false
}

/** Inserts documents that are known not to be in the table. */
export function insertDocuments(
  database: Database,
  table: Table,
  documents: Iterable<readonly [id: string, document: StoredDocument]>,
): void {
  const { statements, fields } = table
  const width = fields.length + 3 + (table.apart === null ? 0 : 2)
  let cells: Cell[] = []
  for (const [id, document] of documents) {
    const doc = textOf(table, document)
    // One text of both, since a second call for a short part would cost more than joining them.
    cells.push(
      doc,
      checksum(`${id}\n${doc}`),
      ...cellsOf(table, document),
      ...apartCells(table, id, document),
      id,
    )
    if (cells.length < width * ROWS_AT_ONCE) continue
    database.prepare(statements.insertMany).run(...cells)
    cells = []
  }
  for (let at = 0; at < cells.length; at += width)
    database.prepare(statements.insert).run(...cells.slice(at, at + width))
}

const cellsOf = (table: Table, document: StoredDocument): Cell[] =>
  table.fields.map((field) => cellAt(document, field))

type Latest = Extract<DocumentChange, { kind: 'latest' }>

const apartOf = ({ apart }: Table, document: StoredDocument): unknown =>
  apart === null ? undefined : document[apart]

/** The columns of the member that is apart, if the table has one. */
function apartCells(table: Table, id: string, document: StoredDocument): Cell[] {
  if (table.apart === null) return []
  const value = apartOf(table, document)
  return typeof value === 'string' ? [value, checksum(id, value)] : [null, null]
}

/** The document without the member that is apart. */
function textOf({ apart }: Table, document: StoredDocument): string {
  if (apart === null || document[apart] === undefined) return JSON.stringify(document)
  const { [apart]: _, ...rest } = document
  return JSON.stringify(rest)
}

/** One statement for many documents, none of which is read. */
function raiseAll(database: Database, table: Table, values: ReadonlyMap<string, string>): void {
  let cells: Cell[] = []
  const run = (): void => {
    if (cells.length > 0) database.prepare(table.statements.raiseApart(cells.length / 4)).run(...cells)
    cells = []
  }
  for (const [id, value] of values) {
    cells.push(id, checksum(id, EMPTY), value, checksum(id, value))
    if (cells.length === 4 * ROWS_AT_ONCE) run()
  }
  run()
}
