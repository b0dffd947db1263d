import { existsSync } from 'node:fs'
import type { Logger } from '../../../application/ports/telemetry.ts'
import { assertNotElsewhere, type Claim, claimDatabase } from '../database/claim.ts'
import { type Database, openDatabase } from '../database/database.ts'
import { assertWritable } from '../database/writable.ts'
import { isIntact } from '../database/inspect.ts'
import type { Lock } from '../database/lock.ts'
import type { Generations } from './generations.ts'
import { type ModelFile, modelFile, SETTINGS } from './modelFile.ts'
import { wasTouched } from './modelGuard.ts'
import { beyondUse, checkSeal, unseal } from './seal.ts'

/** Opens the live file. */
export async function openLive(
  generations: Generations,
  lock: Lock | undefined,
  log: Logger | undefined,
): Promise<ModelFile> {
  const file = generations.liveFile()
  try {
    const wasLeft = existsSync(file)
    const isSealed = checkSeal(file)
    if (lock) assertWritable(file)
    if (lock) await assertNotElsewhere(file)
    const database = await openDatabase(file, { readOnly: !lock, ...SETTINGS })
    if (!lock) return modelFile(database, undefined)
    if (wasTouched(database)) {
      database.close()
      await generations.remove(generations.live())
      return await openLive(generations, lock, log)
    }
    // After a crash there is no seal to prove that the file is intact, so SQLite compares every index with its table.
    if (wasLeft && !isSealed) assertIntact(database)
    unseal(file)
    return modelFile(database, await claimed(database, log), log)
  } catch (error) {
    // The service has switched to another file meanwhile, and has removed this one.
    if (!lock && generations.liveFile() !== file) return openLive(generations, lock, log)
    throw error
  }
}

async function claimed(database: Database, log: Logger | undefined): Promise<Claim> {
  try {
    return await claimDatabase(database, log)
  } catch (error) {
    database.close()
    throw error
  }
}

function assertIntact(database: Database): void {
  if (isIntact(database)) return
  database.close()
  throw beyondUse(database.path)
}
