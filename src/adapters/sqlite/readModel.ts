import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import type { Checkpoint } from '../../application/ports/checkpoints.ts'
import type { Document } from '../../application/ports/documents.ts'
import type { Logger } from '../../application/ports/telemetry.ts'
import type { NextGeneration } from '../../application/ports/nextGeneration.ts'
import type { ReadModel } from '../../application/ports/readModel.ts'
import { StoreUnavailableError } from '../../application/ports/errors.ts'
import { countAll, readPage } from '../../application/readModel/readStretches.ts'
import { countPlanOf, planOf } from '../../application/readModel/queryPlan.ts'
import { giveWay } from '../../application/scheduling/turns.ts'
import { DamagedError } from '../../domain/errors.ts'
import { present } from '../../../projections/change.ts'
import { load } from './documents/collections.ts'
import type { SqliteOptions } from './eventStore.ts'
import { forgetPurpose } from './rebuild/rebuildFile.ts'
import { type Generations, generationsOf } from './documents/generations.ts'
import { type Lock, lockFile } from './database/lock.ts'
import { openDatabase } from './database/database.ts'
import { isInMemory, NO_CLAIM, NO_LOCK } from './database/memory.ts'
import { type ModelFile, modelFile, SETTINGS } from './documents/modelFile.ts'
import { openLive } from './documents/openLive.ts'
import { guardModel } from './documents/modelGuard.ts'
import { beginNext } from './rebuild/nextGeneration.ts'
import { clearLeft, type HandedOver, openHandedOver, checkHandedOver } from './rebuild/handedOver.ts'
import { countStretch, findAny, findNumbers, readStretch, type Source } from './documents/query.ts'
import { createReservations } from './documents/reservations.ts'
import { seal } from './documents/seal.ts'
import { walBytes } from './database/walWatch.ts'

/**
 * Opens the read model in one SQLite file of its own, and makes the file if it is missing. After a rebuild it is
 * another file beside that one (see `generations.ts`). A commit need not survive a power cut, since the checkpoint is
 * in the same transaction as the documents, and the rest is filled again from the log. `:memory:` is no file: it is a
 * model of its own each time.
 * @throws StoreInUseError if another process writes it; StoreUnavailableError; DamagedError
 */
export async function openSqliteReadModel(path: string, options: SqliteOptions = {}): Promise<ReadModel> {
  const { readOnly = false, log } = options
  const generations = generationsOf(path)
  if (isInMemory(path)) {
    return readModel(generations, modelFile(await openDatabase(path, SETTINGS), NO_CLAIM, log), {
      lock: NO_LOCK,
      log,
    })
  }
  const lock = readOnly ? undefined : await lockFile(path)
  try {
    if (lock) {
      await generations.removeOlder()
      await clearLeft(generations, log)
      await checkHandedOver(generations, log)
    }
    return readModel(generations, await openLive(generations, lock, log), { lock, log })
  } catch (error) {
    lock?.release()
    throw error
  }
}

type OnChanged = (ids: ReadonlySet<string> | null) => void

interface Opening {
  lock: Lock | undefined
  log: Logger | undefined
}

function readModel(generations: Generations, opened: ModelFile, { lock, log }: Opening): ReadModel {
  const { path } = generations
  let live = opened
  /** The generation handed over that this process has opened, and so has taken the seal from. */
  let known: number | null = null
  /** The generation that every change of a command is also written to, and that is about to become the live one. */
  let dualWritten: HandedOver | null = null
  let [closed, projections]: [boolean, readonly Projection[]] = [false, []]
  const watchers = new Set<OnChanged>()
  const release: (() => void)[] = lock ? [lock.release] : []
  const forgetAll = (): void => watchers.forEach((announce) => announce(null))
  const guard = lock && guardModel(() => live, forgetAll)

  function assertOpen(): void {
    if (closed) throw new StoreUnavailableError(`${path} is closed`)
    const loss = guard?.loss()
    if (loss) throw loss
    if (live.isLost()) throw new StoreUnavailableError(`${path} was taken over by another process`)
  }

  /** For an empty answer: another program may have just removed the documents, so look once more. */
  function nothing<T>(answer: T): T {
    guard?.look()
    assertOpen()
    return answer
  }

  /** Looked up for each read, since the live file may change while a query gives way. */
  const sourceOf = (collection: string) => (): Source => {
    assertOpen()
    return { database: live.database, table: live.collections.table(collection) }
  }

  async function applyToNext(changes: readonly DocumentChange[]): Promise<void> {
    const next = dualWritten
    await next?.file.apply(changes).catch(() => {
      // The next generation has missed a change now. So it must catch up from the log again before it can be promoted.
      if (dualWritten === next) dualWritten = null
    })
  }

  /** The switch is one assignment: every later statement reads the new documents. */
  async function switchTo(next: HandedOver): Promise<void> {
    const old = live
    generations.pointLive(next.generation)
    live = next.file
    dualWritten = null
    release.push(next.releaseLock)
    forgetAll()
    generations.withdrawOffer()
    guard?.restart()
    // Should this fail, the tables are left there, which does no harm.
    await live.submit(() => forgetPurpose(next.file.database)).catch(() => {})
    await old.settle()
    old.database.close()
    await generations.removeOlder()
  }

  function handle(next: HandedOver): NextGeneration {
    let damage: unknown
    const noting = async <T>(work: () => T | Promise<T>): Promise<T> => {
      try {
        return await work()
      } catch (error) {
        if (error instanceof DamagedError) [damage, known] = [error, null]
        throw error
      }
    }
    return {
      projections,
      isServed: true,
      checkpoint: (projection) => noting(() => next.file.checkpoint(projection)),
      apply: (changes, step) => noting(() => next.file.apply(changes, step)),
      async restart() {
        generations.withdrawOffer()
        throw new StoreUnavailableError(`${next.file.database.path} was filled from another event store`)
      },
      async startDualWrites() {
        dualWritten = next
        return 'started'
      },
      async promote() {
        if (dualWritten !== next)
          throw new StoreUnavailableError(`${next.file.database.path} has missed a change`)
        const { checkpoint } = next.file
        const at = (found: Checkpoint | null): string => found?.position ?? ''
        if (projections.some((one) => at(checkpoint(one)) < at(live.checkpoint(one)))) return false
        await switchTo(next)
        return true
      },
      async close() {
        if (live === next.file) return
        if (dualWritten === next) dualWritten = null
        await next.close(damage)
      },
    }
  }

  return {
    remedy: `rm ${path}*`,
    loss() {
      const loss = guard?.loss()
      return loss
        ? `${loss.message}. Start the service anew: the read model is filled again from the events`
        : null
    },
    // Always 0, since a model that is lost cannot be filled again while it is open: it takes a restart.
    losses: () => 0,
    async trust() {},

    async open(wanted) {
      assertOpen()
      await live.open(wanted)
      projections = [...new Set([...projections, ...wanted])]
    },

    async checkpoint(projection) {
      assertOpen()
      return live.checkpoint(projection)
    },

    async apply(changes, step) {
      const applied = live.apply(changes, step)
      if (!step && dualWritten) await Promise.all([applied, applyToNext(changes)])
      return applied
    },

    next: (wanted) => beginNext(generations, live, { projections: wanted, all: projections }, log),

    async handedOver() {
      if (!lock || dualWritten || closed || isInMemory(path)) return null
      await clearLeft(generations, log)
      const next = await openHandedOver(generations, projections, known, log)
      known = next?.generation ?? known
      return next && handle(next)
    },

    async get(collection, id) {
      assertOpen()
      const document = load(live.database, live.collections.table(collection), id)
      return document ? present<Document>(id, document) : nothing(null)
    },

    async find(collection, { where, order, after = null, limit, numbers }, signal) {
      const source = sourceOf(collection)
      const found = await pageOf()
      return found.length > 0 ? found : nothing(found)

      async function pageOf(): Promise<Document[]> {
        if (order === 'any') {
          if (limit > 1) await giveWay(signal)
          return numbers ? findNumbers(source(), where, numbers, limit) : findAny(source(), where, limit)
        }
        const plan = planOf(source().table.collection, where, order)
        return readPage(plan, { after, limit }, (stretch, atMost) =>
          readStretch(source, stretch, atMost, signal),
        )
      }
    },

    async count(collection, where, limit, signal) {
      const source = sourceOf(collection)
      const plan = countPlanOf(source().table.collection, where)
      const count = await countAll(plan, limit, (stretch, atMost) =>
        countStretch(source, stretch, atMost, signal),
      )
      return count > 0 ? count : nothing(0)
    },

    async ping() {
      assertOpen()
      live.database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()
    },

    // The lock on the file makes this the only process that writes it, so it always leads.
    acquireLease: async () => ({ term: 1 }),
    async releaseLease() {},
    async publish() {},
    isPublished: async () => true,
    ...createReservations(),

    watch(_collection, _fields, onChanged) {
      watchers.add(onChanged)
      return {
        isLive: () => !guard?.loss() && !live.isLost(),
        async close() {
          watchers.delete(onChanged)
        },
      }
    },

    isWritable: () => live.trouble() === null,
    unmovedBytes: () => walBytes(live.database.path),

    async close() {
      await live.settle()
      // Somebody else may have asked for it, too, and waited for the same.
      if (closed) return
      closed = true
      guard?.look()
      guard?.stop()
      const { database } = live
      if (guard?.loss()) {
        // Closing the database would move its write-ahead log into whatever file is at the path now.
        for (const free of release) free()
        return
      }
      try {
        // The seal covers one file, so everything has to be in that file, and not in the write-ahead log.
        if (lock && !isInMemory(path) && !live.isLost() && database.checkpoint()) seal(database.path)
      } catch (err) {
        log?.warn({ err }, 'the read model has no seal: the next start looks it through')
      } finally {
        database.close()
        for (const free of release) free()
      }
    },
  }
}
