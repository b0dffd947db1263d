import { type BigIntStats, statSync } from 'node:fs'
import { StoreReplacedError } from '../../../application/ports/errors.ts'
import type { Database } from './database.ts'
import { MEMORY } from './driver.ts'

/**
 * Checks that the files which a database was opened on are still those at its path. A file that was moved away or
 * deleted would still take writes, but nobody would ever find them. A file that another one is copied over is torn.
 * SQLite notices neither.
 */
export interface OpenedFiles {
  /** @throws StoreReplacedError */
  assert(): void
  /** Accepts the files as they are now, since this process itself has just written them. */
  own(): void
}

interface FileStats {
  main: BigIntStats | undefined
  /** Undefined until there is one. From then on it stays while a connection is open. */
  wal: BigIntStats | undefined
}

const IN_MEMORY: OpenedFiles = { assert() {}, own() {} }

/** Only for the process that writes the database, to be called right after it was opened. */
export function openedFiles({ path }: Database): OpenedFiles {
  if (path === MEMORY) return IN_MEMORY
  let [seen, replaced]: [FileStats, StoreReplacedError | null] = [statBoth(path), null]

  function assert(): void {
    if (replaced) throw replaced
    const { main, wal } = statBoth(path)
    const isMoved = !isSame(main, seen.main) || (seen.wal !== undefined && !isSame(wal, seen.wal))
    if (isMoved) throw new StoreReplacedError(`${path} was moved, deleted or replaced while it was in use`)
    // The file is a mixture of two now, and stays one: so it is refused for good.
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
