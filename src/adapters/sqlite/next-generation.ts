import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Projection } from '../../../projections/projection.ts'
import { type NextGeneration, RebuildUnderWayError, StoreUnavailableError } from '../../application/ports.ts'
import { openDatabase } from './database.ts'
import { type Filling, isFor, openFilling } from './filling.ts'
import {
  fileOf,
  liveGeneration,
  nextGeneration,
  offeredGeneration,
  pointLive,
  pointOffer,
  removeGeneration,
  removeOlder,
  withdrawOffer,
} from './generations.ts'
import { type Lock, lockFile, StoreInUseError } from './lock.ts'
import { type ModelFile, modelFile, SETTINGS } from './model-file.ts'
import { seal, unseal } from './seal.ts'

const LOOK_MS = 100
/** The lock is asked for seldom: whoever starts a service meanwhile would find it taken. */
const LOOKS_PER_LOCK = 20
const PATIENCE_MS = 60_000

/**
 * Fills the next generation's file from outside the service: beside a live one, which then takes the file over, or
 * alone. It may be any process, but one at a time.
 * @param all the projections that the read model has
 */
export async function beginNext(
  path: string,
  live: ModelFile,
  projections: readonly Projection[],
  all: readonly Projection[],
): Promise<NextGeneration> {
  const generation = nextGeneration(path)
  const file = fileOf(path, generation)
  const lock = await tryLock(file)
  if (!lock) throw new RebuildUnderWayError('Another process is rebuilding this read model.')
  let [own, switching]: (Lock | null)[] = [lock, null]
  let filling: Filling | null = null

  const removeThis = (): Promise<void> => removeFile(path, generation)

  async function open(): Promise<Filling> {
    withdrawOffer(path)
    return openFilling(file, { projections, all }, live, removeThis)
  }

  function current(): Filling {
    if (!filling) throw new StoreUnavailableError(`${file} is closed`)
    return filling
  }

  function closeFile(): void {
    try {
      filling?.close()
    } finally {
      filling = null
      own?.release()
      own = null
    }
  }

  /** No service runs: until this ends, none will. */
  async function takePlace(): Promise<boolean> {
    switching = await tryLock(path)
    return switching !== null
  }

  async function handOver(): Promise<'joined' | 'taken'> {
    closeFile()
    pointOffer(path, generation)
    const giveUpAt = performance.now() + PATIENCE_MS
    for (let look = 1; performance.now() < giveUpAt; look++) {
      await sleep(LOOK_MS)
      if (liveGeneration(path) >= generation) return 'taken'
      if (look % LOOKS_PER_LOCK !== 0 || !(await takePlace())) continue
      if (liveGeneration(path) >= generation) return 'taken'
      own = await tryLock(file)
      if (!own) throw new RebuildUnderWayError('Another process has gone on with this rebuild.')
      filling = await open()
      return 'joined'
    }
    throw new StoreUnavailableError(
      `${file} is complete, but the running service has not taken it over yet; it will when it is started anew.`,
    )
  }

  let isServed: boolean
  try {
    isServed = await isLocked(path)
    filling = await open()
  } catch (error) {
    lock.release()
    throw error
  }
  return {
    projections: all,
    isServed,
    checkpoint: async (projection) => current().checkpoint(projection),
    apply: async (changes, step) => current().apply(changes, step),

    async anew() {
      current().close()
      filling = null
      await removeThis()
      filling = await open()
    },

    async join() {
      current().complete()
      return (await takePlace()) ? 'joined' : handOver()
    },

    // The lock is held, so that nobody has brought the live one further meanwhile.
    async promote() {
      current().complete()
      current().forgetPurpose()
      closeFile()
      seal(file)
      pointLive(path, generation)
      await removeOlder(path)
      return true
    },

    async close() {
      closeFile()
      switching?.release()
      switching = null
    },
  }
}

/** All of a generation but its lock, which is held. */
const removeFile = (path: string, generation: number): Promise<void> =>
  removeGeneration(path, generation, { keepLock: true })

async function tryLock(file: string): Promise<Lock | null> {
  try {
    return await lockFile(file)
  } catch (error) {
    if (error instanceof StoreInUseError) return null
    throw error
  }
}

async function isLocked(file: string): Promise<boolean> {
  const lock = await tryLock(file)
  lock?.release()
  return lock === null
}

/** A complete file that was left to the service, opened for writing, with its generation. */
export interface Offered {
  file: ModelFile
  generation: number
  releaseLock(): void
}

/** For the holder of the lock on `path`. Null if there is none that it can use. */
export async function openOffered(path: string, all: readonly Projection[]): Promise<Offered | null> {
  const generation = offeredGeneration(path)
  if (generation === null) return null
  const file = fileOf(path, generation)
  if (generation <= liveGeneration(path) || !existsSync(file)) {
    withdrawOffer(path)
    return null
  }
  const lock = await tryLock(file)
  // Somebody goes on filling it.
  if (!lock) return null
  try {
    const database = await openDatabase(file, SETTINGS)
    if (isFor(database, all)) {
      unseal(file)
      const model = modelFile(database, lock)
      model.open(all)
      return { file: model, generation, releaseLock: lock.release }
    }
    // By a command of another version than the service.
    database.close()
    lock.release()
    withdrawOffer(path)
    return null
  } catch (error) {
    lock.release()
    withdrawOffer(path)
    throw error
  }
}
