import { applyChange, type StoredDocument } from '../../../../projections/change.ts'
import type { DocumentChange } from '../../../../projections/projection.ts'
import { createDeferredChanges } from './deferredChanges.ts'
import { idsOf, type Table } from '../documents/collections.ts'
import type { Database } from '../database/database.ts'
import { insertDocuments } from '../documents/documents.ts'
import { createHeldDocuments } from './heldDocuments.ts'
import { createSeenIds } from './bloomFilter.ts'

/**
 * Fills the documents of a file. A new document stays in memory while it changes, and is written once, when it has not
 * changed for a while. To find it again would take an index of ids. Adding ids to an index one by one is slow, since
 * each goes to another place, while making the index in the end is just sorting. So there is no index until the end,
 * and later changes of a written document are deferred until then.
 */
export interface BulkLoader {
  apply(table: Table, change: DocumentChange): void
  /** Is it time to write? */
  isFull(): boolean
  /** Writes the documents that were not used for a while, and removes them from memory. */
  writeCold(): void
  /** Stores copies of the documents in memory, so that another run can resume. */
  hold(): void
  /** Writes all documents, and removes them from memory. */
  writeAll(): void
  /** Are there deferred changes in the file? */
  waits(): boolean
  /** Applies the deferred changes. It needs the indexes, and no document may be in memory. */
  settle(): void
}

interface Kept {
  document: StoredDocument
  /** The turn in which it was last used. */
  used: number
  /** The turn in which it got its place in the queue. */
  queued: number
}

/** Documents by id, as a queue. A document that reaches the front, but was used meanwhile, goes to the end again. */
type Queue = Map<string, Kept>

/** How many uses of documents make a turn. A document has about 1 KB. */
const TURN = 2_000
/** For how many turns an unused document stays in memory: enough for ten thousand tokens that are used in rotation. */
const KEPT_FOR = 20

/** @param tables all tables that will be filled; an earlier run may have left documents in them */
export function createBulkLoader(database: Database, tables: readonly Table[]): BulkLoader {
  const [deferred, held, seen] = [
    createDeferredChanges(database),
    createHeldDocuments(database),
    createSeenIds(),
  ]
  const queues = new Map(tables.map((table): [string, Queue] => [table.name, new Map()]))
  let [turn, uses] = [0, 0]

  for (const [table, id, document] of held.documents()) {
    queueOf(table).set(id, { document, used: 0, queued: 0 })
    seen.isNew(table, id)
  }
  for (const table of tables) for (const id of idsOf(database, table)) seen.isNew(table.name, id)
  for (const [table, id] of deferred.ids()) seen.isNew(table, id)

  function queueOf(name: string): Queue {
    const queue = queues.get(name)
    if (!queue) throw new RangeError(`${name} is not filled`)
    return queue
  }

  function* all(): Generator<[Table, string, StoredDocument]> {
    for (const table of tables)
      for (const [id, document] of documentsOf(queueOf(table.name))) yield [table, id, document]
  }

  function* cold(queue: Queue): Generator<[string, StoredDocument]> {
    for (const [id, entry] of queue) {
      if (turn - entry.queued < KEPT_FOR) return
      queue.delete(id)
      if (turn - entry.used < KEPT_FOR) queue.set(id, { ...entry, queued: turn })
      else yield [id, entry.document]
    }
  }

  return {
    apply(table, change) {
      const queue = queueOf(table.name)
      const { id } = change
      const known = queue.get(id)
      if (!known && !seen.isNew(table.name, id)) {
        deferred.add(table, change)
        return
      }
      const entry = known ?? { document: {}, used: -1, queued: turn }
      const isChanged = applyChange(entry.document, change, !known)
      if (!known && isChanged) queue.set(id, entry)
      if (entry.used === turn) return
      entry.used = turn
      uses++
    },

    isFull: () => uses >= TURN || deferred.isFull(),

    writeCold() {
      deferred.write()
      for (const table of tables) insertDocuments(database, table, cold(queueOf(table.name)))
      if (uses < TURN) return
      turn++
      uses = 0
    },

    hold() {
      deferred.write()
      held.replace(all())
    },

    writeAll() {
      deferred.write()
      held.replace([])
      for (const table of tables) {
        const queue = queueOf(table.name)
        insertDocuments(database, table, documentsOf(queue))
        queue.clear()
      }
    },

    waits: deferred.waits,

    settle: () => deferred.apply(tables),
  }
}

function* documentsOf(queue: Queue): Generator<[string, StoredDocument]> {
  for (const [id, { document }] of queue) yield [id, document]
}
