import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from 'mongodb'
import type { DocumentChange, Projection } from '../../../../projections/projection.ts'
import {
  LeadershipLostError,
  RebuildUnderWayError,
  StoreUnavailableError,
} from '../../../application/ports/errors.ts'
import type { NextGeneration } from '../../../application/ports/nextGeneration.ts'
import type { Step } from '../../../application/ports/checkpoints.ts'
import { applyPiece } from '../documents/apply.ts'
import { type SeenCheckpoint, lookAt, moveCheckpoint, movesOf } from '../documents/checkpoints.ts'
import { targetsAt } from '../documents/collections.ts'
import type { Connection } from '../database/connection.ts'
import { type GenerationDocument, pointersIn } from '../documents/generations.ts'
import { acquireLease, releaseLease } from '../sharing/leases.ts'
import { dropGeneration, makeGeneration } from '../documents/makeModel.ts'
import { storedName } from '../documents/names.ts'

/**
 * How long to wait until every process has acted on a change of the generations. Knowledge of generations may be 1 s
 * old, and a write takes 3 s at most, so that writes based on older knowledge have ended by then.
 */
export const SPREAD_MS = 5_000
const LEASE = { ttlMs: 5_000, askMs: 1_000 }
const LOOK_MS = 250

/** Begins or resumes the next generation. Any process may, but only one at a time: others get RebuildUnderWayError. */
export async function beginNext(
  connection: Connection,
  projections: readonly Projection[],
  spreadMs: number,
): Promise<NextGeneration> {
  const { write } = connection
  const lease = await takeLease(write, projections)
  try {
    await write((database) => assertSettled(database, projections, spreadMs))
    await write(assertRoom)
    const generations = new Map<Projection, number>()
    for (const one of projections) generations.set(one, await write((database) => announce(database, one)))
    const generation = (one: Projection): number => generations.get(one) ?? 0
    for (const one of projections) await takeUp(write, one, generation(one))
    return nextGeneration(connection, projections, generation, lease, spreadMs)
  } catch (error) {
    await lease.end()
    throw error
  }
}

/**
 * Prepares a generation for filling. If some of its documents are missing, all are dropped: what is left would
 * otherwise be counted on as if it were complete.
 */
async function takeUp(write: Connection['write'], projection: Projection, generation: number): Promise<void> {
  const seen = await write((database) => lookAtOne(database, storedName(projection, generation)))
  if (seen && !seen.isSound) await write((database) => dropGeneration(database, projection, generation))
  await makeGeneration(write, projection, generation)
}

const MIB = 1024 * 1024
/** What a rebuild leaves free: a twentieth of the disk, but no more than 64 MiB. */
const RESERVE = { bytes: 64 * MIB, part: 20 }

/** Refuses if there is no room for a second copy of the documents, since a server may crash when its disk is full. */
async function assertRoom(database: Db): Promise<void> {
  const { storageSize, indexSize, fsTotalSize, fsUsedSize } = await database.stats()
  // Not every server reports these sizes.
  if (!(Number(fsTotalSize) > 0)) return
  const room = fsTotalSize - fsUsedSize - Math.min(RESERVE.bytes, fsTotalSize / RESERVE.part)
  const needed = storageSize + indexSize
  if (room >= needed) return
  const [wanted, there] = [needed, Math.max(0, room)].map((bytes) => `${Math.ceil(bytes / MIB)} MiB`)
  throw new StoreUnavailableError(`a rebuild needs about ${wanted}, and MongoDB's disk has ${there} to spare`)
}

function nextGeneration(
  { read, write }: Connection,
  projections: readonly Projection[],
  generation: (projection: Projection) => number,
  lease: RebuildLease,
  spreadMs: number,
): NextGeneration {
  const targets = targetsAt(projections, generation)
  const nameOf = (one: Projection): string => storedName(one, generation(one))
  const reached = new Map<Projection, SeenCheckpoint>()

  async function isBehind(one: Projection): Promise<boolean> {
    const live = await read(async (database) => {
      const pointer = await pointersIn(database).findOne({ _id: storedName(one) })
      return (await lookAtOne(database, storedName(one, pointer?.live)))?.at
    })
    const next = (await look(one))?.at
    return (next?.position ?? '') < (live?.position ?? '')
  }

  const look = (one: Projection): Promise<SeenCheckpoint | undefined> =>
    read((database) => lookAtOne(database, nameOf(one)))

  async function apply(changes: readonly DocumentChange[], { from, to }: Step): Promise<void> {
    const seen = new Map<Projection, SeenCheckpoint>()
    for (const one of to.keys()) {
      const found = reached.get(one) ?? (await look(one))
      if (!found) throw new LeadershipLostError(`${nameOf(one)} is not there any more`)
      seen.set(one, found)
    }
    const moves = movesOf({ from, to }, seen)
    const marks = await applyPiece(write, targets, changes, (one) => moves.get(one) ?? null)
    for (const [one, move] of moves) {
      const moved = marks.get(one) ?? {}
      await write((database) => moveCheckpoint(database, nameOf(one), { ...move, marks: moved }))
      reached.set(one, { ...move, at: move.to, marks: { ...move.marks, ...moved }, isSound: true })
    }
  }

  return {
    projections,
    // Nobody can know: a service may run anywhere, also on this machine.
    isServed: true,
    checkpoint: async (one) => (await look(one))?.at ?? null,
    apply,

    async restart() {
      reached.clear()
      for (const one of projections) await write((database) => dropGeneration(database, one, generation(one)))
      for (const one of projections) await makeGeneration(write, one, generation(one))
    },

    async startDualWrites() {
      await write((database) =>
        pointersIn(database).updateMany(
          { _id: { $in: projections.map((one) => storedName(one)) }, next: { $ne: null } },
          { $set: { joined: true } },
        ),
      )
      await sleep(spreadMs)
      return 'started'
    },

    async promote() {
      for (const one of projections) if (await isBehind(one)) return false
      for (const one of projections) {
        const change = { live: '$next', old: '$live', next: null, joined: false, since: '$$NOW' }
        const ours = { _id: storedName(one), next: generation(one) }
        await write((database) => pointersIn(database).updateOne(ours, [{ $set: change }]))
      }
      while (!(await write((database) => isSettled(database, projections, spreadMs)))) await sleep(LOOK_MS)
      return true
    },

    close: lease.end,
  }
}

/** Records that a generation is being filled, or finds the one that is recorded already. @returns its number */
async function announce(database: Db, projection: Projection): Promise<number> {
  const live = { $ifNull: ['$live', 1] }
  const found = await pointersIn(database).findOneAndUpdate(
    { _id: storedName(projection) },
    [
      {
        $set: {
          live,
          next: { $ifNull: ['$next', { $add: [live, 1] }] },
          joined: { $ifNull: ['$joined', false] },
          old: { $ifNull: ['$old', null] },
          dropping: { $ifNull: ['$dropping', null] },
          since: { $ifNull: ['$since', '$$NOW'] },
        },
      },
    ],
    { upsert: true, returnDocument: 'after' },
  )
  return found?.next ?? 0
}

// --- Removing a generation that was live ---------------------------------------------------------------------------

async function assertSettled(
  database: Db,
  projections: readonly Projection[],
  spreadMs: number,
): Promise<void> {
  if (await isSettled(database, projections, spreadMs)) return
  throw new RebuildUnderWayError(
    'The documents of an earlier rebuild are still being removed: try again in 10 s.',
  )
}

/** Have all earlier generations been removed? If not, takes the next step towards it. */
async function isSettled(
  database: Db,
  projections: readonly Projection[],
  spreadMs: number,
): Promise<boolean> {
  const left = await pointersIn(database)
    .find({
      _id: { $in: projections.map((one) => storedName(one)) },
      $or: [{ old: { $gt: 0 } }, { dropping: { $gt: 0 } }],
    })
    .toArray()
  for (const document of left) await retire(database, document, projections, spreadMs)
  return left.length === 0
}

/** First all processes stop writing to it, then it is dropped. Each step waits until all know of the one before. */
export async function retire(
  database: Db,
  { _id, old, dropping }: GenerationDocument,
  projections: readonly Projection[],
  spreadMs: number,
): Promise<void> {
  const isSpread = { $expr: { $lt: ['$since', { $subtract: ['$$NOW', spreadMs] }] } }
  if (old !== null && dropping === null) {
    const leave = { dropping: '$old', old: null, since: '$$NOW' }
    await pointersIn(database).updateOne({ _id, old, ...isSpread }, [{ $set: leave }])
    return
  }
  const projection = projections.find((one) => storedName(one) === _id)
  if (!projection || dropping === null) return
  if (!(await pointersIn(database).findOne({ _id, dropping, ...isSpread }))) return
  await dropGeneration(database, projection, dropping)
  await pointersIn(database).updateOne({ _id, dropping }, { $set: { dropping: null } })
}

const lookAtOne = async (database: Db, name: string): Promise<SeenCheckpoint | undefined> =>
  (await lookAt(database, [name])).get(name)

// --- One at a time -----------------------------------------------------------------------------------------------

interface RebuildLease {
  end(): Promise<void>
}

async function takeLease(
  write: Connection['write'],
  projections: readonly Projection[],
): Promise<RebuildLease> {
  const id = randomUUID()
  const groups = projections.map((one) => `rebuild ${storedName(one)}`)
  const ask = (group: string) =>
    write((database) => acquireLease(database, group, { id, ttlMs: LEASE.ttlMs, lag: 0, caughtUp: false }))
  const askAll = () => Promise.all(groups.map(ask))
  const end = async (): Promise<void> => {
    clearInterval(timer)
    await Promise.all(groups.map((group) => write((database) => releaseLease(database, group, id))))
  }
  const timer = setInterval(() => void askAll().catch(() => {}), LEASE.askMs).unref()
  const isMine = (await askAll()).every(({ term }) => term !== null)
  if (isMine) return { end }
  await end()
  throw new RebuildUnderWayError('Another process is rebuilding these documents.')
}
