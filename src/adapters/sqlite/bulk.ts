import type { Change } from '../../../projections/projection.ts'
import type { Table } from './collections.ts'
import type { Database } from './database.ts'
import { applyTo, type Entry, newEntry, readEntry, writeEntry } from './documents.ts'
import { createSeen } from './seen.ts'

/**
 * The documents of a file that is being filled. Those that change again and again stay in memory until they rest; the
 * others are written once. Before anything is read, a filter says whether there is anything to be read.
 */
export interface Bulk {
  apply(table: Table, change: Change): void
  /** Is it time to write? */
  isFull(): boolean
  /** Writes what has not been used for a while, and forgets it. */
  writeCold(): void
  writeAll(): void
  forget(): void
}

/** Of one collection, used since the last time that something was written, and before that. */
interface Used {
  young: Map<string, Entry>
  old: Map<string, Entry>
  /** Then whatever was not asked for yet is not there. */
  wasEmpty: boolean
}

/** Of one collection, and as many old ones: about 1 KB each. */
const YOUNG = 12_000

export function createBulk(database: Database): Bulk {
  const collections = new Map<Table, Used>()
  const seen = createSeen()
  let full = false

  function usedOf(table: Table): Used {
    const known = collections.get(table)
    if (known) return known
    const wasEmpty = database.prepare(`SELECT 1 FROM ${table.name} LIMIT 1`).get() === undefined
    const used: Used = { young: new Map(), old: new Map(), wasEmpty }
    collections.set(table, used)
    return used
  }

  function entryOf(table: Table, id: string): Entry {
    const { young, old, wasEmpty } = usedOf(table)
    const known = young.get(id)
    if (known) return known
    const there = old.get(id)
    const isNew = !there && seen.isNew(table.name, id) && wasEmpty
    const entry = there ?? (isNew ? newEntry(table, id) : readEntry(database, table, id))
    if (there) old.delete(id)
    young.set(id, entry)
    if (young.size >= YOUNG) full = true
    return entry
  }

  function write(entries: Iterable<Entry>): void {
    const changed = [...entries].filter((entry) => entry.changed)
    // In the order of the tree they go into, so that each of its pages is visited once.
    changed.sort((a, b) => (a.id < b.id ? -1 : 1))
    for (const entry of changed) writeEntry(database, entry)
  }

  return {
    apply: (table, change) => void applyTo(entryOf(table, change.id), change),
    isFull: () => full,

    writeCold() {
      full = false
      for (const used of collections.values()) {
        if (used.young.size < YOUNG) continue
        write(used.old.values())
        used.old = used.young
        used.young = new Map()
      }
    },

    writeAll() {
      for (const { young, old } of collections.values()) {
        write(old.values())
        write(young.values())
      }
    },

    forget: () => collections.clear(),
  }
}
