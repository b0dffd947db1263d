import { applyChange, type StoredDocument } from '../../../../projections/change.ts'
import type { Change } from '../../../../projections/projection.ts'
import { createDeferredChanges } from './deferredChanges.ts'
import { idsOf, type Table } from '../documents/collections.ts'
import type { Database } from '../database/database.ts'
import { insertDocuments } from '../documents/documents.ts'
import { createHeldDocuments } from './heldDocuments.ts'
import { createSeenIds } from './bloomFilter.ts'

/**
 * The documents of a file that is being filled. A new one stays in memory while it changes and is written once, when it
 * rests. To find it again would take an index of ids, and each new id goes somewhere else in such an index, while all of
 * them at once are a matter of sorting. So there is none until the end, and later changes are put aside until then.
 */
export interface BulkLoader {
  apply(table: Table, change: Change): void
  /** Is it time to write? */
  isFull(): boolean
  /** Writes what has not been used for a while, and forgets it. */
  writeCold(): void
  /** Keeps copies of the others, for another run to go on with. */
  hold(): void
  /** Writes all there is, and forgets it. */
  writeAll(): void
  /** Was anything put aside and written? */
  waits(): boolean
  /** Applies what was put aside. There have to be indexes, and nothing in memory. */
  settle(): void
}

interface Kept {
  document: StoredDocument
  /** The turn that it was used in last. */
  used: number
  /** And that it got its place in the queue in. */
  queued: number
}

/** By id, and a queue: whoever comes to its front and was used meanwhile goes to its end again. */
type Queue = Map<string, Kept>

/** Uses of documents, of about 1 KB each. */
const TURN = 2_000
/** Turns that a document stays without being used: ten thousand tokens in turn find theirs again. */
const KEPT_FOR = 20

/** @param tables all that will be filled, as an earlier run may have left them */
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
