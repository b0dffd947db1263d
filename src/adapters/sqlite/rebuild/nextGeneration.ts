import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../../application/ports/telemetry.ts'
import type { NextGeneration } from '../../../application/ports/nextGeneration.ts'
import { RebuildUnderWayError, StoreUnavailableError } from '../../../application/ports/errors.ts'
import { NoRoomError } from '../database/errors.ts'
import { type Filling, openFilling, type Purpose } from './rebuildFile.ts'
import type { Generations } from '../documents/generations.ts'
import { type Lock, lockFile } from '../database/lock.ts'
import { StoreInUseError } from '../../../application/ports/errors.ts'
import { sizeOf } from '../database/inspect.ts'
import type { ModelFile } from '../documents/modelFile.ts'
import { seal } from '../documents/seal.ts'
import { assertRoom } from '../database/space.ts'

const LOOK_MS = 100
/** Tries for the lock at every twentieth look only, since a service that starts at that moment would find it taken. */
const LOOKS_PER_LOCK = 20
/** How long to wait for the service to take the file over. */
const PATIENCE_MS = 60_000

/**
 * Room that a rebuild needs, as a multiple of the live documents: for a while there are files in which indexes are
 * sorted.
 */
const ROOM = 1.5

/**
 * Fills the file of the next generation from outside the service: beside a running service, which then takes the file
 * over, or without one. Any process may do so, but only one at a time. If the disk becomes full, the file is deleted,
 * since the service needs the room.
 * @param all all projections that the read model has
 */
export async function beginNext(
  generations: Generations,
  live: ModelFile,
  { projections, all }: Purpose,
  log?: Logger,
): Promise<NextGeneration> {
  const generation = generations.next()
  const file = generations.fileOf(generation)
  const lock = await tryLock(file)
  if (!lock) throw new RebuildUnderWayError('Another process is rebuilding this read model.')
  let [own, switching]: (Lock | null)[] = [lock, null]
  let filling: Filling | null = null

  /** Removes the file, except for its lock, which this process holds. */
  const removeThis = (): Promise<void> => generations.remove(generation, { keepLock: true })

  async function open(): Promise<Filling> {
    generations.withdrawOffer()
    return openFilling(file, { projections, all }, live, anew)
  }

  async function anew(damage?: unknown): Promise<void> {
    if (damage === undefined) return removeThis()
    const aside = await generations.setAside(generation)
    log?.error({ file: aside, err: damage }, 'a half-filled read model is damaged: set aside, and begun anew')
  }

  function current(): Filling {
    if (!filling) throw new StoreUnavailableError(`${file} is closed`)
    return filling
  }

  async function closeFile(): Promise<void> {
    const hasNoRoom = filling?.hasNoRoom()
    try {
      filling?.close()
    } finally {
      filling = null
      if (hasNoRoom) await removeThis()
      own?.release()
      own = null
    }
  }

  /** Takes the lock of the read model, so that no service can start. @returns false if a service is running */
  async function takePlace(): Promise<boolean> {
    switching = await tryLock(generations.path)
    return switching !== null
  }

  async function handOver(): Promise<'started' | 'promotedByService'> {
    await closeFile()
    seal(file)
    generations.pointOffer(generation)
    const giveUpAt = performance.now() + PATIENCE_MS
    for (let look = 1; performance.now() < giveUpAt; look++) {
      await sleep(LOOK_MS)
      if (generations.live() >= generation) return 'promotedByService'
      if (look % LOOKS_PER_LOCK !== 0 || !(await takePlace())) continue
      if (generations.live() >= generation) return 'promotedByService'
      own = await tryLock(file)
      if (!own) throw new RebuildUnderWayError('Another process has resumed this rebuild.')
      filling = await open()
      return 'started'
    }
    throw new StoreUnavailableError(
      `${file} is complete, but the running service has not taken it over yet; it will when it is started anew.`,
    )
  }

  let isServed: boolean
  try {
    isServed = await isLocked(generations.path)
    const { bytes, walBytes } = sizeOf(live.database.path)
    assertRoom(file, ROOM * (bytes + walBytes) - sizeOf(file).bytes)
    filling = await open()
  } catch (error) {
    if (error instanceof NoRoomError) await removeThis()
    lock.release()
    throw error
  }
  return {
    projections: all,
    isServed,
    checkpoint: async (projection) => current().checkpoint(projection),
    apply: async (changes, step) => current().apply(changes, step),

    async restart() {
      current().close()
      filling = null
      await removeThis()
      filling = await open()
    },

    async startDualWrites() {
      current().complete()
      return (await takePlace()) ? 'started' : handOver()
    },

    // Always true, since the lock is held: nobody can have applied anything to the live generation meanwhile.
    async promote() {
      current().complete()
      current().forgetPurpose()
      await closeFile()
      seal(file)
      generations.pointLive(generation)
      await generations.removeOlder()
      return true
    },

    async close() {
      await closeFile()
      switching?.release()
      switching = null
    },
  }
}

export async function tryLock(file: string): Promise<Lock | null> {
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
