import type { Change } from '../../../projections/projection.ts'
import type { Target, Targets } from './collections.ts'
import type { Connection } from './connection.ts'
import { isUpsertRace } from './errors.ts'
import { type Operation, toOperations } from './update.ts'

type Write = Connection['write']

/** As many as are written well within the time a write may take. */
const OPERATIONS_PER_WRITE = 500
const MAX_RACES = 10

/**
 * Writes changes in order, collection by collection. The first failure stops what follows in its collection: a later
 * `add` to the same document would raise its position, and the one that failed could never be made up for.
 */
export async function applyChanges(
  write: Write,
  targets: Targets,
  changes: readonly Change[],
): Promise<void> {
  const work = new Map<string, { target: Target; operations: Operation[] }>()
  for (const change of changes) {
    const there = work.get(change.collection) ?? { target: targets.of(change.collection), operations: [] }
    work.set(change.collection, there)
    there.operations.push(...toOperations(there.target, change))
  }
  const written = await Promise.allSettled(
    [...work.values()].map(({ target, operations }) => writeAll(write, target, operations)),
  )
  for (const outcome of written) if (outcome.status === 'rejected') throw outcome.reason
}

async function writeAll(write: Write, target: Target, operations: Operation[]): Promise<void> {
  for (let from = 0; from < operations.length; from += OPERATIONS_PER_WRITE) {
    const some = operations.slice(from, from + OPERATIONS_PER_WRITE)
    await write((database) => writeSome(target.in(database), some))
  }
}

/** A race can be lost for each of the documents. What was done already is done once, however often it is asked for. */
async function writeSome(collection: ReturnType<Target['in']>, operations: Operation[]): Promise<void> {
  for (let races = 0; ; races++) {
    try {
      await collection.bulkWrite(operations, { ordered: true })
      return
    } catch (error) {
      if (!isUpsertRace(error) || races === MAX_RACES) throw error
    }
  }
}
