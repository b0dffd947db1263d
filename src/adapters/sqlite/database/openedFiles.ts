import { type BigIntStats, statSync } from 'node:fs'
import { StoreReplacedError } from '../../../application/ports/errors.ts'
import type { Database } from './database.ts'
import { MEMORY } from './driver.ts'

/**
 * Whether the files that a database was opened on are still those at its path. One that was moved away or deleted goes
 * on taking writes that nobody will find again; one that another is copied over is torn. SQLite notices neither.
 */
export interface OpenedFiles {
  /** @throws StoreReplacedError */
  assert(): void
  /** What has changed in them up to now, this process has written. */
  own(): void
}

interface FileStats {
  main: BigIntStats | undefined
  /** While a connection is open its file stays. */
  wal: BigIntStats | undefined
}

const IN_MEMORY: OpenedFiles = { assert() {}, own() {} }

/** For the one process that writes the database, right after it was opened. */
export function openedFiles({ path }: Database): OpenedFiles {
  if (path === MEMORY) return IN_MEMORY
  let [seen, replaced]: [FileStats, StoreReplacedError | null] = [statBoth(path), null]

  function assert(): void {
    if (replaced) throw replaced
    const { main, wal } = statBoth(path)
    const isMoved = !isSame(main, seen.main) || (seen.wal !== undefined && !isSame(wal, seen.wal))
    if (isMoved) throw new StoreReplacedError(`${path} was moved, deleted or replaced while it was in use`)
    // From here on the file is a mixture of two.
    if (main?.mtimeNs !== seen.main?.mtimeNs || main?.size !== seen.main?.size) {
      replaced = new StoreReplacedError(`another program has written over ${path} while it was in use`)
      throw replaced
    }
    seen.wal ??= wal
  }

  return {
    assert,
    own() {
      const { main, wal } = statBoth(path)
      seen = { main: isSame(main, seen.main) ? main : seen.main, wal: seen.wal ?? wal }
    },
  }
}

const statBoth = (path: string): FileStats => ({ main: statOf(path), wal: statOf(`${path}-wal`) })

const statOf = (path: string): BigIntStats | undefined =>
  statSync(path, { bigint: true, throwIfNoEntry: false })

const isSame = (a: BigIntStats | undefined, b: BigIntStats | undefined): boolean =>
  a !== undefined && a.ino === b?.ino && a.dev === b.dev
