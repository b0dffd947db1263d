import { crc32 } from 'node:zlib'
import type { Projection } from '../../../projections/projection.ts'
import { DamagedError } from '../../domain/errors.ts'
import type { Database } from './database.ts'

/** How far each version of each projection has come. */
export interface Checkpoints {
  create(): void
  get(projection: Projection): string | null
  /** Never moves backwards. */
  advance(projection: Projection, position: string): void
}

export function createCheckpoints(database: Database): Checkpoints {
  function get({ name, version }: Projection): string | null {
    // All rows, not the one: a name that was damaged would be a checkpoint that is not there.
    const rows = database.prepare('SELECT projection, version, position, crc FROM checkpoints').all()
    for (const row of rows) {
      if (row.crc !== checksum(row.projection, row.version, row.position)) {
        throw new DamagedError(`${database.path}: the checkpoint of ${String(row.projection)} is damaged`)
      }
    }
    const mine = rows.find((row) => row.projection === name && row.version === version)
    return mine ? String(mine.position) : null
  }

  return {
    create() {
      database.exec(`
        CREATE TABLE IF NOT EXISTS checkpoints (
          projection TEXT NOT NULL,
          version INTEGER NOT NULL,
          position TEXT NOT NULL,
          crc INTEGER NOT NULL,
          PRIMARY KEY (projection, version)
        ) STRICT, WITHOUT ROWID`)
    },
    get,
    advance(projection, position) {
      const { name, version } = projection
      if (position <= (get(projection) ?? '')) return
      database
        .prepare('INSERT OR REPLACE INTO checkpoints (projection, version, position, crc) VALUES (?, ?, ?, ?)')
        .run(name, version, position, checksum(name, version, position))
    },
  }
}

const checksum = (...values: unknown[]): number => crc32(values.join('\n'))
