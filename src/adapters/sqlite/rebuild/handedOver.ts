import { existsSync } from 'node:fs'
import type { Logger } from '../../../application/ports/telemetry.ts'
import { StoreUnavailableError } from '../../../application/ports/errors.ts'
import type { Projection } from '../../../../projections/projection.ts'
import { type Claim, claimDatabase } from '../database/claim.ts'
import { type Database, openDatabase } from '../database/database.ts'
import { isFor } from './rebuildFile.ts'
import type { Generations } from '../documents/generations.ts'
import { isIntact } from '../database/inspect.ts'
import type { Lock } from '../database/lock.ts'
import { type ModelFile, modelFile, SETTINGS } from '../documents/modelFile.ts'
import { tryLock } from './nextGeneration.ts'
import { beyondUse, isAsSealed, isSealed, seal, unseal } from '../documents/seal.ts'
import { roomBeside } from '../database/space.ts'

/** How a service takes over the file that a rebuild has filled. Only the holder of the read model's lock may do this. */

/** A complete file that was handed over to the service, opened for writing, with its generation. */
export interface HandedOver {
  file: ModelFile
  generation: number
  releaseLock(): void
  /** Closes it. If it was found damaged meanwhile, it is set aside. */
  close(damage: unknown): Promise<void>
}

/**
 * Opens the generation that was handed over; null if there is none that can be used. A file that is not as it was left
 * is set aside, which is logged.
 * @param known the generation that this process has opened before, and which therefore has no seal
 */
export async function openHandedOver(
  generations: Generations,
  all: readonly Projection[],
  known: number | null,
  log?: Logger,
): Promise<HandedOver | null> {
  const generation = usableOffer(generations)
  if (generation === null) return null
  const file = generations.fileOf(generation)
  const lock = await tryLock(file)
  // Without the lock: another process has resumed filling it.
  if (!lock) return null
  let model: ModelFile | null = null
  try {
    const isWhole = isSealed(file) ? await isAsSealed(file) : generation === known
    if (!isWhole) throw beyondUse(file)
    model = await openFor(file, all, log)
    if (model) return handedOver(generations, generation, { model, lock, log })
    // A command of another version than this service has filled it.
    generations.withdrawOffer()
    log?.warn({ file }, 'a rebuilt read model is for another version of the service, and is not taken over')
  } catch (error) {
    if (error instanceof StoreUnavailableError) throw error
    await putAside(generations, generation, error, log)
  } finally {
    if (!model) lock.release()
  }
  return null
}

function handedOver(
  generations: Generations,
  generation: number,
  { model, lock, log }: { model: ModelFile; lock: Lock; log: Logger | undefined },
): HandedOver {
  return {
    file: model,
    generation,
    releaseLock: lock.release,
    async close(damage) {
      try {
        await model.settle()
        model.database.close()
        if (damage) await putAside(generations, generation, damage, log)
      } finally {
        lock.release()
      }
    },
  }
}

async function openFor(
  file: string,
  all: readonly Projection[],
  log: Logger | undefined,
): Promise<ModelFile | null> {
  const database = await openDatabase(file, SETTINGS)
  let claim: Claim | undefined
  try {
    if (isFor(database, all)) {
      unseal(file)
      claim = await claimDatabase(database, log)
      const model = modelFile(database, claim, log)
      await model.open(all)
      for (const projection of all) model.checkpoint(projection)
      return model
    }
  } catch (error) {
    claim?.end()
    database.close()
    throw error
  }
  database.close()
  return null
}

/** The generation that was handed over, if it is later than the live one. */
function usableOffer(generations: Generations): number | null {
  const generation = generations.offered()
  if (generation === null) return null
  if (generation > generations.live() && existsSync(generations.fileOf(generation))) return generation
  generations.withdrawOffer()
  return null
}

async function putAside(
  generations: Generations,
  generation: number,
  err: unknown,
  log?: Logger,
): Promise<void> {
  const file = await generations.setAside(generation)
  generations.withdrawOffer()
  log?.error({ file, err }, 'a rebuilt read model is damaged: set aside, and not taken over')
}

/**
 * If a process was killed while it took a file over, the file has no seal. Before the service answers requests there is
 * time to check the whole file, and to seal it again.
 */
export async function checkHandedOver(generations: Generations, log?: Logger): Promise<void> {
  const generation = usableOffer(generations)
  if (generation === null) return
  const file = generations.fileOf(generation)
  if (isSealed(file)) return
  const lock = await tryLock(file)
  if (!lock) return
  let database: Database | undefined
  try {
    database = await openDatabase(file, SETTINGS)
    if (!isIntact(database)) throw beyondUse(file)
    if (database.checkpoint()) seal(file)
    database.close()
  } catch (error) {
    database?.close()
    if (!(error instanceof StoreUnavailableError)) await putAside(generations, generation, error, log)
  } finally {
    lock.release()
  }
}

/** On a disk that is nearly full, removes files of generations that nobody fills, reads, or will take over. */
export async function clearLeft(generations: Generations, log?: Logger): Promise<void> {
  if (roomBeside(generations.path) > 0) return
  const live = generations.live()
  for (const generation of await generations.all()) {
    await generations.removeAside(generation)
    const file = generations.fileOf(generation)
    if (generation <= live || generation === generations.offered() || !existsSync(file)) continue
    const lock = await tryLock(file)
    if (!lock) continue
    await generations.remove(generation, { keepLock: true })
    lock.release()
    log?.warn({ file }, 'the disk is nearly full: what an ended rebuild has left is removed')
  }
}
