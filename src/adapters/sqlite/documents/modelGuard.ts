import { StoreReplacedError } from '../../../application/ports/errors.ts'
import type { Database } from '../database/database.ts'
import type { ModelFile } from './modelFile.ts'

/** Notices that a read model is not only what this process has written: moved, written over, or written into. */
export interface ModelGuard {
  /** As of the last look, of which there are two a second. */
  loss(): StoreReplacedError | null
  look(): void
  /** To be called when another file has become the live one. */
  restart(): void
  stop(): void
}

const EVERY_MS = 500
const TOUCHED = 1

/** What is in a file that others have written into cannot be told from what they put there: it is marked as such. */
export const wasTouched = (database: Database): boolean =>
  database.prepare('PRAGMA user_version').get()?.user_version === TOUCHED

const touch = (database: Database): void => database.exec(`PRAGMA user_version = ${TOUCHED}`)

/** Changes with each commit that another connection makes. */
const foreignWrites = (database: Database): unknown =>
  database.prepare('PRAGMA data_version').get()?.data_version

/** For the holder of the lock. @param onLost called once */
export function guardModel(live: () => ModelFile, onLost: () => void): ModelGuard {
  let lost: StoreReplacedError | null = null
  let writes = foreignWrites(live().database)

  function assertOwn(): void {
    const { files, database } = live()
    files.assert()
    if (foreignWrites(database) === writes) return
    touch(database)
    throw new StoreReplacedError(`another program has written into ${database.path}`)
  }

  function look(): void {
    if (lost) return
    try {
      assertOwn()
    } catch (error) {
      // Whatever else is wrong with it, those who read it are told.
      if (!(error instanceof StoreReplacedError)) return
      lost = error
      onLost()
    }
  }

  const looking = setInterval(look, EVERY_MS).unref()
  return {
    loss: () => lost,
    look,
    restart() {
      live().files.own()
      writes = foreignWrites(live().database)
    },
    stop: () => clearInterval(looking),
  }
}
