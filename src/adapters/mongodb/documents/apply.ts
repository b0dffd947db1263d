import type { DocumentChange, Projection } from '../../../../projections/projection.ts'
import type { Checkpoint } from '../../../application/ports/checkpoints.ts'
import type { Mark } from './checkpoints.ts'
import type { Target, Targets } from './collections.ts'
import type { Connection } from '../database/connection.ts'
import { isUpsertRace } from '../database/errors.ts'
import { type Operation, toOperations } from './update.ts'

type Write = Connection['write']

/** This many are written well within the time that a write may take. */
const OPERATIONS_PER_WRITE = 500
/** How many races in a row a write may lose before it fails. */
const MAX_RACES = 10

interface Work {
  target: Target
  operations: Operation[]
  /** The id of the first document that is changed. */
  first: string
}

function workOf(targets: Targets, changes: readonly DocumentChange[]): Work[] {
  const work = new Map<string, Work>()
  for (const change of changes) {
    const target = work.get(change.collection)?.target ?? targets.of(change.collection)
    const operations = toOperations(target, change)
    if (operations.length === 0) continue
    const there = work.get(change.collection) ?? { target, operations: [], first: change.id }
    work.set(change.collection, there)
    there.operations.push(...operations)
  }
  return [...work.values()]
}

/**
 * Writes changes in order, collection by collection. The first failure stops all that follows in its collection. A
 * later `add` to the same document would raise its position, and then the one that failed would be ignored for ever.
 */
export const applyChanges = (
  write: Write,
  targets: Targets,
  changes: readonly DocumentChange[],
): Promise<void> => writeWork(write, workOf(targets, changes))

/** The marks of a projection, and its checkpoint once the changes are applied. */
export interface Marking {
  model: string
  marks: Record<string, Mark>
  to: Checkpoint
}

/**
 * The same for a piece of the log. The last write in each collection moves its mark. A mark that is not where it should
 * be is not moved; so it shows later that its collection was dropped or replaced.
 * @param markingOf null for a projection that is further on already
 * @returns the marks that were moved, for each projection
 */
export async function applyPiece(
  write: Write,
  targets: Targets,
  changes: readonly DocumentChange[],
  markingOf: (projection: Projection) => Marking | null,
): Promise<Map<Projection, Record<string, Mark>>> {
  const moved = new Map<Projection, Record<string, Mark>>()
  const work = workOf(targets, changes)
  for (const { target, operations, first } of work) {
    const marking = markingOf(target.projection)
    if (!marking) continue
    const known = marking.marks[target.name]
    const { id, stamp } = known ?? { id: first, stamp: marking.model }
    const { position } = marking.to
    const isBefore = { $lt: position, ...(known && { $gte: known.position }) }
    const isWhere = { '_mark.stamp': stamp, '_mark.position': isBefore }
    const filter = { _id: id, ...(known ? isWhere : { $or: [isWhere, { '_mark.stamp': { $ne: stamp } }] }) }
    operations.push({ updateOne: { filter, update: { $set: { _mark: { stamp, position } } } } })
    moved.set(target.projection, {
      ...moved.get(target.projection),
      [target.name]: { id, stamp, position },
    })
  }
  await writeWork(write, work)
  return moved
}

async function writeWork(write: Write, work: readonly Work[]): Promise<void> {
  const written = await Promise.allSettled(
    work.map(({ target, operations }) => writeAll(write, target, operations)),
  )
  for (const outcome of written) if (outcome.status === 'rejected') throw outcome.reason
}

async function writeAll(write: Write, target: Target, operations: Operation[]): Promise<void> {
  for (let from = 0; from < operations.length; from += OPERATIONS_PER_WRITE) {
    const some = operations.slice(from, from + OPERATIONS_PER_WRITE)
    await write((database) => writeSome(target.in(database), some))
  }
}

/** Several upserts may each lose a race, so the write is repeated. The guards make repeated operations harmless. */
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
