import { StoreReplacedError } from '../../../application/ports/errors.ts'
import type { Database } from '../database/database.ts'
import type { ModelFile } from './modelFile.ts'

/** Notices if another program has moved, overwritten or changed the file of a read model. */
export interface ModelGuard {
  /** The result of the last look. There are two looks a second. */
  loss(): StoreReplacedError | null
  look(): void
  /** To be called when another file has become the live one. */
  restart(): void
  stop(): void
}

const EVERY_MS = 500
/** The `user_version` of a file that another program has written into. */
const TOUCHED = 1

/**
 * Was the file marked, since another program has written into it? What that wrote cannot be told from our own
 * documents.
 */
export const wasTouched = (database: Database): boolean =>
  database.prepare('PRAGMA user_version').get()?.user_version === TOUCHED

const touch = (database: Database): void => database.exec(`PRAGMA user_version = ${TOUCHED}`)

/** A number that changes with each commit of another connection. */
const foreignWrites = (database: Database): unknown =>
  database.prepare('PRAGMA data_version').get()?.data_version

/** Only for the holder of the lock. @param onLost called once */
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
      // Any other error will be met by those who read the file.
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
